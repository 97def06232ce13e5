/** Opens a link as a keeper does, and never takes the listeners: its event loop stands still from then on. */
import { openLink } from "../../../../src/jail/inside-listeners.ts";
import { createScope } from "../../../../src/lib/scope.ts";

openLink({ pid: process.pid, ownUser: false }, ["egress"], createScope());
Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
