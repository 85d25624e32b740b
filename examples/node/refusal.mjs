import grpc from "@grpc/grpc-js";
import { ErrorInfo, RetryInfo, Status } from "./router.mjs";

// A status carries its reason, and where a limit refused, the time to wait.
export function explain(error) {
  console.error(`${grpc.status[error.code]}: ${error.details}`);
  const [encoded] = error.metadata?.get("grpc-status-details-bin") ?? [];
  const details = encoded ? Status.deserialize(encoded).details : [];
  for (const { type_url, value } of details) {
    const name = type_url.split("/").at(-1);
    if (name === "google.rpc.ErrorInfo") {
      console.error("reason:", ErrorInfo.deserialize(value).reason);
    } else if (name === "google.rpc.RetryInfo") {
      const { seconds, nanos } = RetryInfo.deserialize(value).retryDelay;
      console.error("again in:", (Number(seconds) + nanos / 1e9).toFixed(1), "s");
    }
  }
}
