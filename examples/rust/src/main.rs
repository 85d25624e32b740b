//! Asks for an answer, hangs up on a second one, and streams a third; a refusal is told with its reason.

mod asking;
mod complete;
mod hang_up;
mod refusal;
mod stream;

use std::{env, error::Error, process};

use asking::Router;
use tonic::Status;

tonic::include_proto!("headgate");

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let address = env::args()
        .nth(1)
        .ok_or("the router's address is missing")?;
    let mut router = Router::connect(format!("http://{address}")).await?;
    if let Err(refusal) = ask(&mut router).await {
        refusal::explain(&refusal);
        process::exit(1);
    }
    Ok(())
}

async fn ask(router: &mut Router) -> Result<(), Status> {
    complete::complete(router).await?;
    hang_up::hang_up(router).await?;
    stream::stream(router).await
}
