//! What is asked, and as whom; and the text of what comes.

use std::env;

use tonic::{Request, transport::Channel};

use crate::headgate::router::v1::{
    CompletionRequest, Delta, delta, router_service_client::RouterServiceClient,
};

pub type Router = RouterServiceClient<Channel>;

pub fn request() -> Request<CompletionRequest> {
    let mut request = Request::new(CompletionRequest {
        model: "fast".into(),
        prompt: "Why is the sky blue?".into(),
        ..Default::default()
    });
    let bearer = format!("Bearer {}", env::var("KEY").unwrap_or_default());
    let value = bearer.parse().expect("a key is ASCII");
    request.metadata_mut().insert("authorization", value);
    request
}

pub fn text(delta: Delta) -> String {
    match delta.content {
        Some(delta::Content::Text(text)) => text,
        _ => String::new(),
    }
}
