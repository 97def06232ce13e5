/** Takes the step of a host that is a Mac, as far as it can be told, for a bottle of smolvm's. */
import { backendNamed } from "../../../../src/backends/registry.ts";
import { takeHostStep } from "../../../../src/cli/host-step.ts";
import { planFor } from "../../../support/bottle-guest.ts";

Object.defineProperty(process, "platform", { value: "darwin" });
const [, , bundle = ""] = process.argv;
const plan = planFor(await backendNamed("smolmachines"));
await takeHostStep(bundle === "container" ? { ...plan, bundle } : plan);
process.stdout.write("launching\n");
