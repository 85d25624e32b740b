//! A whole answer, and the metadata that trails it.

use tonic::Status;

use crate::asking::{Router, request};
use crate::headgate::chat::v1::part::Content;

pub async fn complete(router: &mut Router) -> Result<(), Status> {
    let (trailer, completion, _) = router.complete(request()).await?.into_parts();
    let messages = completion.choices.iter().flat_map(|choice| &choice.message);
    for part in messages.flat_map(|message| &message.parts) {
        if let Some(Content::Text(text)) = &part.content {
            println!("{text}");
        }
    }
    for name in ["x-request-id", "x-cache", "x-headgate-cost-nanos"] {
        let value = trailer.get(name).and_then(|value| value.to_str().ok());
        println!("{name}: {}", value.unwrap_or_default());
    }
    Ok(())
}
