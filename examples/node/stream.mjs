import { metadata, request, router } from "./router.mjs";

// An answer while it is produced. Its last event says what it used and what it cost.
export async function stream() {
  for await (const { event, delta, finished } of router.streamComplete(request, metadata)) {
    if (event === "delta") process.stdout.write(delta.text);
    if (event === "finished")
      console.log(`\n${finished.usage.totalTokens} tokens, ${finished.cost.amountNanos} nano-USD`);
  }
}
