import { describe, expect, it } from "vitest";
import * as commands from "../../../src/engine/commands.ts";

const SPEC: commands.ContainerSpec = {
  name: "bot-bottle-a-00000-sidecars",
  image: "bot-bottle-sidecars:0123456789abcdef",
  labels: { "bot-bottle.id": "a-00000" },
  network: { kind: "none" },
  user: "1000:1000",
  pids: 100,
};

describe("what an engine is told", () => {
  it("for the smallest container", () => {
    expect(commands.createContainer(SPEC)).toEqual([
      ...["create", "--rm", "--init", "--interactive", "--name", "bot-bottle-a-00000-sidecars"],
      ...["--label", "bot-bottle.id=a-00000", "--network", "none", "--user", "1000:1000", "--read-only"],
      ...["--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--pids-limit", "100"],
      ...["--sysctl", "net.ipv4.ip_unprivileged_port_start=0"],
      ...[
        "--log-driver",
        "none",
        "--pull",
        "never",
        "--no-healthcheck",
        "bot-bottle-sidecars:0123456789abcdef",
      ],
    ]);
  });

  it("for one with everything", () => {
    expect(
      commands.createContainer({
        ...SPEC,
        network: { kind: "named", name: "net", address: "192.168.7.2" },
        publish: [{ on: "127.0.0.16", port: 9099 }],
        mounts: [
          { type: "tmpfs", to: "/tmp", bytes: 1024 },
          { type: "volume", name: "sockets", to: "/run/bottle", writable: false },
          { type: "bind", from: '/home/a,b/"c"', to: "/gate/state", writable: true },
        ],
        env: { BOT_BOTTLE_SIDECAR_DAEMONS: "egress" },
        hostname: "a-00000",
        hosts: { "api.example": "127.0.0.1" },
        shmBytes: 5,
        runtime: "runsc",
        memoryBytes: 1_000_000,
        cpus: 1.5,
        argv: ["node", "-e", ""],
      }),
    ).toEqual([
      ...["create", "--rm", "--init", "--interactive", "--name", "bot-bottle-a-00000-sidecars"],
      ...["--label", "bot-bottle.id=a-00000", "--network", "net", "--ip", "192.168.7.2"],
      ...["--publish", "127.0.0.16::9099", "--hostname", "a-00000", "--add-host", "api.example:127.0.0.1"],
      ...["--runtime", "runsc"],
      ...["--user", "1000:1000", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"],
      ...[
        "--pids-limit",
        "100",
        "--sysctl",
        "net.ipv4.ip_unprivileged_port_start=0",
        "--shm-size",
        "5",
        "--memory",
        "1000000",
        "--memory-swap",
        "1000000",
        "--cpus",
        "1.5",
      ],
      ...["--log-driver", "none", "--pull", "never", "--no-healthcheck"],
      ...["--mount", "type=tmpfs,target=/tmp,tmpfs-size=1024,tmpfs-mode=1777"],
      ...["--mount", "type=volume,source=sockets,target=/run/bottle,ro"],
      // A comma in the operator's path is no option of ours.
      ...["--mount", 'type=bind,"source=/home/a,b/""c""",target=/gate/state'],
      ...["--env", "BOT_BOTTLE_SIDECAR_DAEMONS=egress"],
      ...["--entrypoint", "node", "bot-bottle-sidecars:0123456789abcdef", "-e", ""],
    ]);
  });

  it("for an image: what it has, and all of it in one file", () => {
    expect(commands.lookFor("sidecars:1", "pipelock").join(" ")).toBe(
      'run --rm --network none --read-only --cap-drop ALL --pull never --entrypoint sh sidecars:1 -c command -v "$0" pipelock',
    );
    expect(commands.saveImage("sha256:12", "/w/saved.tar")).toEqual([
      ...["save", "--output", "/w/saved.tar", "sha256:12"],
    ]);
  });

  it("for networks, ports and removal", () => {
    const network = {
      name: "n",
      subnet: "192.168.7.0/24",
      gateway: "192.168.7.1",
      labels: { "bot-bottle.id": "a" },
    };
    expect(commands.createNetwork(network)).toEqual([
      ...[
        "network",
        "create",
        "--driver",
        "bridge",
        "--subnet",
        "192.168.7.0/24",
        "--gateway",
        "192.168.7.1",
      ],
      ...["--label", "bot-bottle.id=a", "n"],
    ]);
    expect(commands.removeNetwork("n")).toEqual(["network", "rm", "n"]);
    expect(commands.publishedPort("c", 9099)).toEqual(["port", "c", "9099/tcp"]);
    expect(commands.removeContainer("c")).toEqual(["rm", "--force", "--volumes", "c"]);
  });

  it("in podman's words where docker's mean something else to it", () => {
    expect(
      commands.createContainer({ ...SPEC, passwdLine: "node:x:1000:1000::/home/node:/bin/sh" }, true),
    ).toEqual(expect.arrayContaining(["--passwd-entry", "node:x:1000:1000::/home/node:/bin/sh"]));
    expect(commands.createContainer({ ...SPEC, passwdLine: "node" })).not.toContain("node");
    expect(commands.createContainer({ ...SPEC, filterFile: "/r/filter.json" }, true).join(" ")).toContain(
      "--security-opt no-new-privileges --security-opt seccomp=/r/filter.json",
    );
    expect(commands.putArchive("c", "/etc", true)).toEqual(["cp", "--archive=false", "-", "c:/etc"]);
    expect(commands.putArchive("c", "/etc")).toEqual(["cp", "-", "c:/etc"]);
  });
});
