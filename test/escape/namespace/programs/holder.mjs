/** Stands for a sidecar: serves on the listener that it is given. */
process.once("message", (_, server) => {
  server.on("connection", (socket) => socket.on("error", () => {}).end("holder"));
  process.send("serving");
});
