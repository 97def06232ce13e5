import { describe, expect, it } from "vitest";
import { bearsOwnLabel, HOME_LABEL } from "../../../src/engine/labels.ts";
import { homeMark } from "../../../src/lib/paths.ts";

const mark = homeMark();

describe("labels, as an engine writes them all", () => {
  it.each([
    ["docker, alone", `${HOME_LABEL}=${mark}`],
    ["docker, among others", `a=b,${HOME_LABEL}=${mark},bot-bottle.id=x-abcde`],
    ["podman, alone", `map[${HOME_LABEL}:${mark}]`],
    ["podman, among others", `map[a:b ${HOME_LABEL}:${mark} bot-bottle.id:x-abcde]`],
  ])("of this home: %s", (_, labels) => {
    expect(bearsOwnLabel(labels)).toBe(true);
  });

  it.each([
    ["none", ""],
    ["podman's none", "map[]"],
    ["another home's", `${HOME_LABEL}=0123456789abcdef`],
    ["one that only begins like ours", `${HOME_LABEL}=${mark}0`],
    ["another label of that value", `map[other:${mark}]`],
    ["ours as another's value", `a=${HOME_LABEL}:${mark}`],
  ])("of nobody, or another: %s", (_, labels) => {
    expect(bearsOwnLabel(labels)).toBe(false);
  });
});
