/**
 * git-gate as a value: what the process (main.ts), tests and benches start. It serves from the moment the promise
 * resolves. What it protects: upstreams, from what nobody looked at (I4); and their credentials, from the guest (I2).
 */
import { mkdir, readdir } from "node:fs/promises";
import type { Server, Socket } from "node:net";
import { join } from "node:path";
import { createGrants } from "../../approvals/grant-counter.ts";
import { type GitGateConfig, type GitGatePolicy, gitGatePolicySchema } from "../../contract/git-gate.ts";
import type { RouteGrant } from "../../contract/sidecar.ts";
import { UserError } from "../../lib/errors.ts";
import { listen, listeningOn } from "../../lib/listening.ts";
import { removeTree } from "../../lib/remove-tree.ts";
import { createTicker } from "../../lib/ticker.ts";
import { createReporter, type Emit, type RecordEvent } from "./events.ts";
import { answerHook } from "./git/hook.ts";
import { createGit, startProgram } from "./git/run.ts";
import { gitEnvironment, type Home, hookFile, writeSettings } from "./git/settings.ts";
import { bearerCheck } from "./http/bearer.ts";
import type { Exchange } from "./http/exchange.ts";
import { createFront } from "./http/front.ts";
import { LIMITS } from "./limits.ts";
import { openMirror } from "./mirror.ts";
import { type CompiledPolicy, compilePolicy } from "./policy/compile.ts";
import { createReviews } from "./push/review.ts";
import { openRemote, type Remote } from "./upstream/remote.ts";

export interface GateOptions {
  readonly emit: Emit;
  readonly record: RecordEvent;
  /** Called when it cannot go on, because something that it needs is gone: only a new gate has it again. */
  readonly onLost: (what: string) => void;
  /** The handle for `listen.kind: "inherited"`; already listening. */
  readonly listener?: Server;
}

export interface Gate {
  /** Addresses really bound. */
  readonly listening: readonly string[];
  /** Replaces the policy for every push from now on. @throws Error when it is refused; the old one stays. */
  reload(policy: unknown): Promise<void>;
  /** The operator's answer to an ask. False when nobody asked, or it is none. */
  answer(ask: string, answer: unknown): boolean;
  /** Accepts nothing more, lets what is in progress finish for a bounded time, then ends it. */
  drain(): Promise<void>;
  /** Ends everything at once. */
  stop(): void;
}

const TICK_MS = 1_000;
const DRAIN_POLL_MS = 20;
const TRIAL_MS = 10_000;

/** @throws UserError when the configuration cannot be served. */
export async function startGate(config: GitGateConfig, options: GateOptions): Promise<Gate> {
  const home: Home = { stateDir: config.stateDir, runtimeDir: config.runtimeDir };
  const report = createReporter(options.emit, options.record, LIMITS);
  const remotes: Remote[] = [];
  try {
    const grants = createGrants();
    let policy: CompiledPolicy = await compilePolicy(config, config.policy);
    grants.adopt(grantsOf(config.policy));
    await mkdir(home.stateDir, { recursive: true, mode: 0o700 });
    await mkdir(home.runtimeDir, { recursive: true, mode: 0o700 });
    for (const left of await readdir(home.runtimeDir)) await removeTree(join(home.runtimeDir, left));
    await writeSettings(home);
    await tryHook(home);
    const git = createGit(home);
    const reviews = createReviews(options.emit);

    const repos = new Map<string, Exchange["repo"]>();
    for (const repo of config.repos) {
      const { name } = repo;
      if (repos.has(name)) throw new UserError(`two repositories have the name ${name}`);
      const remote = await openRemote(repo, home, () =>
        options.onLost(`what held the key of ${name} has ended`),
      );
      remotes.push(remote);
      const repoPolicy = () => {
        const found = policy.repos.get(name);
        if (found === undefined) throw new Error(`no policy for ${name}`);
        return found.policy;
      };
      const log = (text: string): void => report.log("warn", text);
      const mirror = await openMirror({ name, home, git, remote, policy: repoPolicy, log });
      repos.set(name, {
        name,
        git,
        mirror,
        remote,
        report,
        policy: () => policy,
        grants,
        review: reviews.ask,
      });
    }

    const front = createFront({ checkBearer: bearerCheck(config.bearer), repos, report });
    const connections = new Set<Socket>();
    const clock = createTicker(TICK_MS, () => {
      report.flush();
      return connections.size > 0;
    });
    const accept = (socket: Socket): void => {
      socket.on("error", () => {});
      if (connections.size >= LIMITS.connections) {
        socket.destroy();
        return;
      }
      connections.add(socket);
      clock.wake();
      socket.once("close", () => connections.delete(socket));
      front.server.emit("connection", socket);
    };
    const server = await listen(config.listen, options.listener, accept);

    const stop = (): void => {
      clock.stop();
      server.close();
      front.server.close();
      for (const socket of connections) socket.destroy();
      for (const remote of remotes) remote.close();
      report.flush();
    };
    return {
      listening: [listeningOn(server, config.listen)],
      async reload(next) {
        const parsed = gitGatePolicySchema.parse(next);
        policy = await compilePolicy(config, parsed);
        grants.adopt(grantsOf(parsed));
      },
      answer: reviews.answer,
      async drain() {
        front.stop();
        server.close();
        const deadline = performance.now() + LIMITS.drainMs;
        while (front.busy() > 0 && performance.now() < deadline) {
          await new Promise((resolve) => setTimeout(resolve, DRAIN_POLL_MS));
        }
        stop();
      },
      stop,
    };
  } catch (error) {
    for (const remote of remotes) remote.close();
    throw error;
  }
}

function grantsOf({ repos, exceptions }: GitGatePolicy): readonly (RouteGrant | undefined)[] {
  return [...Object.values(repos).flatMap(({ refs }) => refs), ...exceptions].map(({ grant }) => grant);
}

/** A hook that cannot be run is one that git passes over, with a warning to nobody. */
async function tryHook(home: Home): Promise<void> {
  const running = startProgram([hookFile(home)], {
    env: gitEnvironment(home),
    cwd: home.stateDir,
    timeoutMs: TRIAL_MS,
    channel: true,
  });
  running.stdin.end();
  running.stdout.resume();
  if (running.channel !== undefined) answerHook(running.channel, true);
  const { code } = await running.ended;
  if (code !== 0) {
    throw new UserError(`the gate's hook cannot be run in ${home.stateDir}`, {
      hint: "the folder must be on a file system that is not mounted noexec",
    });
  }
}
