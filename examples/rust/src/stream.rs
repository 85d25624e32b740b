//! An answer while it is produced. Its last event says what it used and what it cost.

use tonic::Status;

use crate::asking::{Router, request, text};
use crate::headgate::router::v1::completion_event::Event;

pub async fn stream(router: &mut Router) -> Result<(), Status> {
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
