import { metadata, request, router } from "./router.mjs";

// A whole answer, and the metadata that trails it.
export async function complete() {
  let trailer;
  const completion = await new Promise((resolve, reject) => {
    const call = router.complete(request, metadata, (error, answer) => (error ? reject(error) : resolve(answer)));
    call.on("status", (status) => (trailer = status.metadata));
  });
  for (const part of completion.choices[0].message.parts) console.log(part.text);
  for (const name of ["x-request-id", "x-cache", "x-headgate-cost-nanos"]) console.log(`${name}: ${trailer.get(name)}`);
}
