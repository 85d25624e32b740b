//! A stream that is dropped is cancelled, and closes the request at the provider; what was produced by then is billed.

use tonic::Status;

use crate::asking::{Router, request, text};
use crate::headgate::router::v1::completion_event::Event;

pub async fn hang_up(router: &mut Router) -> Result<(), Status> {
    let mut events = router.stream_complete(request()).await?.into_inner();
    while let Some(event) = events.message().await? {
        if let Some(Event::Delta(delta)) = event.event {
            println!("hung up after: {}", text(delta));
            break;
        }
    }
    Ok(())
}
