//! A status carries its reason, and where a limit refused, the time to wait.

use tonic::Status;
use tonic_types::StatusExt;

pub fn explain(refusal: &Status) {
    eprintln!("{:?}: {}", refusal.code(), refusal.message());
    if let Some(info) = refusal.get_details_error_info() {
        eprintln!("reason: {}", info.reason);
    }
    let retry = refusal.get_details_retry_info();
    if let Some(delay) = retry.and_then(|retry| retry.retry_delay) {
        eprintln!("again in: {:.1} s", delay.as_secs_f64());
    }
}
