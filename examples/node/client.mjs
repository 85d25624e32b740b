// Asks for an answer, hangs up on a second one, and streams a third; a refusal is told with its reason.
import { complete } from "./complete.mjs";
import { hangUp } from "./hang_up.mjs";
import { explain } from "./refusal.mjs";
import { stream } from "./stream.mjs";

try {
  await complete();
  await hangUp();
  await stream();
} catch (error) {
  explain(error);
  process.exitCode = 1;
}
