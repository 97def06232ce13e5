/** An answer on a socket that HTTP's own machinery has let go of: CONNECT, or a request it could not read. */
import type { Socket } from "node:net";
import { denialAnswer, type Refusal, type Subject } from "../denial.ts";

export function answerRaw(socket: Socket, refusal: Refusal, subject: Subject): void {
  const { status, phrase, headers, body } = denialAnswer(refusal, subject);
  let head = `HTTP/1.1 ${status} ${phrase}\r\n`;
  for (let i = 0; i < headers.length; i += 2) head += `${headers[i]}: ${headers[i + 1]}\r\n`;
  socket.end(`${head}Connection: close\r\n\r\n${body}`);
  // What is still sent is read and dropped, so that the answer arrives and not a reset.
  socket.resume();
}
