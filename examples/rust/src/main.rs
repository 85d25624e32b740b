//! Asks for an answer, hangs up on a second one, and streams a third; a refusal is told with its reason.

use std::{env, error::Error, process};

use headgate::chat::v1::part;
use headgate::router::v1::{
    CompletionRequest, Delta, completion_event::Event, delta,
    router_service_client::RouterServiceClient,
};
use tonic::{Request, Status, transport::Channel};
use tonic_types::StatusExt;

tonic::include_proto!("headgate");

type Router = RouterServiceClient<Channel>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args()
        .nth(1)
        .ok_or("the router's address is missing")?;
    let mut router = Router::connect(format!("http://{address}")).await?;
    if let Err(refusal) = ask(&mut router).await {
        explain(&refusal);
        process::exit(1);
    }
    Ok(())
}

async fn ask(router: &mut Router) -> Result<(), Status> {
    complete(router).await?;
    hang_up(router).await?;
    stream(router).await
}

fn request() -> Request<CompletionRequest> {
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

async fn complete(router: &mut Router) -> Result<(), Status> {
    let (trailer, completion, _) = router.complete(request()).await?.into_parts();
    let messages = completion.choices.iter().flat_map(|choice| &choice.message);
    for part in messages.flat_map(|message| &message.parts) {
        if let Some(part::Content::Text(text)) = &part.content {
            println!("{text}");
        }
    }
    for name in ["x-request-id", "x-cache", "x-headgate-cost-nanos"] {
        let value = trailer.get(name).and_then(|value| value.to_str().ok());
        println!("{name}: {}", value.unwrap_or_default());
    }
    Ok(())
}

async fn hang_up(router: &mut Router) -> Result<(), Status> {
    let mut events = router.stream_complete(request()).await?.into_inner();
    while let Some(event) = events.message().await? {
        if let Some(Event::Delta(delta)) = event.event {
            println!("hung up after: {}", text(delta));
            break; // What is dropped is cancelled.
        }
    }
    Ok(())
}

async fn stream(router: &mut Router) -> Result<(), Status> {
    let mut events = router.stream_complete(request()).await?.into_inner();
    while let Some(event) = events.message().await? {
        match event.event {
            Some(Event::Delta(delta)) => print!("{}", text(delta)),
            Some(Event::Finished(end)) => println!(
                "\n{} tokens, {} nano-USD",
                end.usage.unwrap_or_default().total_tokens,
                end.cost.unwrap_or_default().amount_nanos
            ),
            _ => {}
        }
    }
    Ok(())
}

fn text(delta: Delta) -> String {
    match delta.content {
        Some(delta::Content::Text(text)) => text,
        _ => String::new(),
    }
}

fn explain(refusal: &Status) {
    eprintln!("{:?}: {}", refusal.code(), refusal.message());
    if let Some(info) = refusal.get_details_error_info() {
        eprintln!("reason: {}", info.reason);
    }
    let retry = refusal.get_details_retry_info();
    if let Some(delay) = retry.and_then(|retry| retry.retry_delay) {
        eprintln!("again in: {:.1} s", delay.as_secs_f64());
    }
}
