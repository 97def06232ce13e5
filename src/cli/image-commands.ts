/** The command line of guests' systems. */
import type { Command } from "commander";
import type { Declaring } from "./inbox-commands.ts";

export function addImageCommands(program: Command, { act, json }: Declaring): void {
  const image = program
    .command("image")
    .description("the systems that guests boot from: made once, kept in the cache");

  image
    .command("build [image]")
    .description("get or make an image now, so that the next start finds it; asks its registry again")
    .option("--provider <name>", "put this agent product in, as a start with it would", "claude")
    .option("--disk <size>", "the size of its disk, such as 20G")
    .option("--engine", "put it into the docker-compatible engine, for containers, and make no disk")
    .addOption(json())
    .addHelpText(
      "after",
      `
Without a name: the built-in image, on Debian and Ubuntu. Progress goes to stderr.

Examples:
  bottle image build                                        the built-in one, with the packages of today
  bottle image build debian:12                              from Docker Hub
  bottle image build docker://registry.example/team/dev:3@sha256:…
  bottle image build oci:./layout:dev                       a folder that skopeo, umoci or buildah wrote
  bottle image build docker-archive:./dev.tar               docker save -o dev.tar
  bottle image build dir:./rootfs                           a folder that is the root itself
  bottle image build --engine dockerfile:./Dockerfile       what a bottle on docker would be made of`,
    )
    .action(act(async () => (await import("./commands/image-build.ts")).imageBuild));

  image
    .command("list")
    .alias("ls")
    .description(
      "the disks in the cache, which bottles stand on them, and what the engine has for containers",
    )
    .addOption(json())
    .action(act(async () => (await import("./commands/image-list.ts")).imageList));

  image
    .command("inspect <image>")
    .description("what is known of an image: by its name, or the beginning of its digest or key")
    .addOption(json())
    .addHelpText(
      "after",
      `
Examples:
  bottle image inspect debian:12
  bottle image inspect 3f9c --json`,
    )
    .action(act(async () => (await import("./commands/image-inspect.ts")).imageInspect));

  image
    .command("prune [kept...]")
    .description(
      "remove what no bottle stands on and no manifest names, in the cache and the engine; or these of bottle commit",
    )
    .option("--dry-run", "only list them")
    .option("-y, --yes", "do not ask")
    .addOption(json())
    .addHelpText(
      "after",
      `
An image that was wanted within the last ten minutes stays.

Examples:
  bottle image prune --dry-run
  bottle image prune --yes
  bottle image prune kept:before-upgrade                    what bottle commit kept goes only by its name`,
    )
    .action(act(async () => (await import("./commands/image-prune.ts")).imagePrune));
}
