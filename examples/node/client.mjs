// Asks for an answer, hangs up on a second one, and streams a third; a refusal is told with its reason.
import { fileURLToPath } from "node:url";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const protos = fileURLToPath(new URL("../../protos", import.meta.url));
const files = ["headgate/router/v1/router_service.proto", "google/rpc/error_details.proto", "google/rpc/status.proto"];
const loaded = loadSync(files, { includeDirs: [protos], longs: String, defaults: true, oneofs: true });
const { google, headgate } = grpc.loadPackageDefinition(loaded);

const router = new headgate.router.v1.RouterService(process.argv[2], grpc.credentials.createInsecure());
const metadata = new grpc.Metadata();
metadata.set("authorization", `Bearer ${process.env.KEY}`);
const request = { model: "fast", prompt: "Why is the sky blue?" };

async function complete() {
  let trailer;
  const completion = await new Promise((resolve, reject) => {
    const call = router.complete(request, metadata, (error, answer) => (error ? reject(error) : resolve(answer)));
    call.on("status", (status) => (trailer = status.metadata));
  });
  for (const part of completion.choices[0].message.parts) console.log(part.text);
  for (const name of ["x-request-id", "x-cache", "x-headgate-cost-nanos"]) console.log(`${name}: ${trailer.get(name)}`);
}

async function hangUp() {
  const events = router.streamComplete(request, metadata);
  for await (const { delta } of events) {
    if (!delta?.text) continue;
    console.log("hung up after:", delta.text);
    events.cancel();
    return;
  }
}

async function stream() {
  for await (const { event, delta, finished } of router.streamComplete(request, metadata)) {
    if (event === "delta") process.stdout.write(delta.text);
    if (event === "finished")
      console.log(`\n${finished.usage.totalTokens} tokens, ${finished.cost.amountNanos} nano-USD`);
  }
}

function explain(error) {
  console.error(`${grpc.status[error.code]}: ${error.details}`);
  const [encoded] = error.metadata?.get("grpc-status-details-bin") ?? [];
  const details = encoded ? google.rpc.Status.deserialize(encoded).details : [];
  for (const { type_url, value } of details) {
    const name = type_url.split("/").at(-1);
    if (name === "google.rpc.ErrorInfo") {
      console.error("reason:", google.rpc.ErrorInfo.deserialize(value).reason);
    } else if (name === "google.rpc.RetryInfo") {
      const { seconds, nanos } = google.rpc.RetryInfo.deserialize(value).retryDelay;
      console.error("again in:", (Number(seconds) + nanos / 1e9).toFixed(1), "s");
    }
  }
}

try {
  await complete();
  await hangUp();
  await stream();
} catch (error) {
  explain(error);
  process.exitCode = 1;
}
