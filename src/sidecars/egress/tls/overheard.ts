/** A socket whose every byte from the other side is heard, before whoever reads it has it. */
import { Duplex } from "node:stream";

export function overheard(socket: Duplex, hear: (chunk: Buffer) => void): Duplex {
  const heard = new Duplex({
    read: () => void socket.resume(),
    write: (chunk: Buffer, _encoding, done) => void socket.write(chunk, (error) => done(error)),
    writev(chunks, done) {
      socket.write(Buffer.concat(chunks.map(({ chunk }) => chunk as Buffer)), (error) => done(error));
    },
    final: (done) => void socket.end(done),
    destroy(error, done) {
      socket.destroy();
      done(error);
    },
  });
  socket.on("data", (chunk: Buffer) => {
    hear(chunk);
    if (!heard.push(chunk)) socket.pause();
  });
  socket.on("end", () => heard.push(null));
  socket.on("close", () => heard.destroy());
  heard.on("error", () => {});
  return heard;
}
