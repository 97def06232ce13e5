/** A bottle of namespaces is attacked: every probe is tried, every control succeeds, and nothing gets out. */
import { describeAttack } from "../../support/attacked.ts";
import { NAMESPACE } from "../../support/attacked-backends.ts";

describeAttack(NAMESPACE);
