/** A micro-VM is attacked: every probe is tried, every control succeeds, and nothing gets out. */
import { describeAttack } from "../../support/attacked.ts";
import { QEMU } from "../../support/attacked-backends.ts";

describeAttack(QEMU);
