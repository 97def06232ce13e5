/** What every stage may use; made once by `startEgress`. */

import type { Grants } from "../../approvals/grant-counter.ts";
import type { BearerCheck } from "./accept/bearer.ts";
import type { Connections } from "./accept/connection.ts";
import type { Resolve } from "./address/resolve.ts";
import type { Budget } from "./budget.ts";
import type { Clearance } from "./clearance.ts";
import type { Reporter } from "./events.ts";
import type { Inspection } from "./inspection/inspection.ts";
import type { Limits } from "./limits.ts";
import type { CompiledPolicy } from "./policy/compile.ts";
import type { Leaves } from "./tls/leaves.ts";
import type { Pool } from "./upstream/pool.ts";

/** A policy, what is looked for under it, and the upstream sockets opened under it. A reload replaces all at once. */
export interface Generation {
  readonly policy: CompiledPolicy;
  readonly inspection: Inspection;
  readonly pool: Pool;
}

export interface Services {
  readonly limits: Limits;
  readonly report: Reporter;
  readonly resolve: Resolve;
  readonly leaves: Leaves;
  readonly connections: Connections;
  readonly checkBearer: BearerCheck;
  readonly budget: Budget;
  readonly clearance: Clearance;
  readonly grants: Grants;
  /** Read anew for every request. */
  current: Generation;
  /** True once no new request is served. */
  stopping: boolean;
}
