/** Probes that no breach makes fail, each with the reason: the rest of them are in a breach's list. */
const NO_SUCH_CODE = "the kernels that this is tried on have no such code, so nobody gets there, jail or not";
const NOT_EVEN_ROOT = "root may not do it either on the machines that this is tried on";

export const UNBROKEN: Readonly<Record<string, string>> = {
  "protocol-sctp": NO_SUCH_CODE,
  "protocol-sctp-socket": NO_SUCH_CODE,
  "protocol-dccp-socket": NO_SUCH_CODE,
  "protocol-l2tp-socket": NO_SUCH_CODE,
  "protocol-bluetooth": NO_SUCH_CODE,
  "protocol-crypto-socket": NO_SUCH_CODE,
  "file-sysrq": NO_SUCH_CODE,
  "kernel-module": NOT_EVEN_ROOT,
  "kernel-module-file": NOT_EVEN_ROOT,
  "kernel-kexec": NOT_EVEN_ROOT,
  "proxy-smuggle-lengths":
    "Node's parser refuses two lengths in whatever way it is set up: no line of ours could let them through",
  "resource-crowded-out":
    "a neighbour's sidecars are processes of their own: that they are is how bottles are made, and no switch",
  "own-mcp-bearer":
    "no bearer is asked for on the link of a bottle on namespaces, which is where breaches are tried",
};
