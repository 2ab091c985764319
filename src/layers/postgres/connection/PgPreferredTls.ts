/**
 * A socket with TLS if the server takes it, and without if it does not: `sslmode=prefer`, as libpq has it.
 *
 * ```
 *   connects ──▶ asks for TLS ──▶ S: a handshake ──▶ what the driver writes goes through TLS
 *                            └──▶ N, or an error: what the driver writes goes through the socket itself
 * ```
 *
 * It proves nothing about the server, so that a certificate that nothing vouches for is no error. The driver verifies a
 * certificate whenever it negotiates itself; hence the negotiation is here. The driver may write at once: its words
 * wait for the end of the negotiation.
 */
import { isIP, type Socket } from "node:net"
import { Duplex } from "node:stream"
import * as Tls from "node:tls"

/**
 * The length of the request, and the code that asks for TLS.
 * https://www.postgresql.org/docs/18/protocol-message-formats.html
 */
const sslRequest = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f])
const accepted = 0x53
const refused = 0x4e

/** Negotiates on a socket that is still connecting. Destroying the result destroys the socket. */
export const over = (raw: Socket, host: string): Duplex => new PreferredTls(raw, host)

class PreferredTls extends Duplex {
  readonly #raw: Socket
  /** What carries the session, once that is known. */
  #carrier: Socket | undefined
  /** The driver's first words, if they came before. */
  #held: (() => void) | undefined

  constructor(raw: Socket, host: string) {
    super({ allowHalfOpen: false })
    this.#raw = raw
    this.#follow(raw)
    raw.once("connect", () => raw.write(sslRequest))
    raw.once("data", (answer: Buffer) => this.#decide(answer, host))
  }

  #decide(answer: Buffer, host: string): void {
    if (answer[0] === accepted && answer.length === 1) {
      const encrypted = Tls.connect({
        socket: this.#raw,
        rejectUnauthorized: false,
        ...(isIP(host) === 0 && !host.startsWith("/") ? { servername: host } : {})
      })
      this.#follow(encrypted)
      encrypted.once("secureConnect", () => this.#carry(encrypted))
      return
    }
    // Bytes behind the answer were not asked for: another party may have put them there.
    if (answer[0] === accepted || (answer[0] === refused && answer.length > 1)) {
      this.destroy(new Error("unexpected bytes in answer to a request for TLS"))
      return
    }
    this.#carry(this.#raw)
    // An error of the server, which the driver can read.
    if (answer[0] !== refused) this.push(answer)
  }

  #follow(socket: Socket): void {
    socket.once("error", (error) => this.destroy(error))
    socket.once("close", () => this.destroy())
  }

  #carry(carrier: Socket): void {
    this.#carrier = carrier
    carrier.on("data", (chunk: Buffer) => {
      if (!this.push(chunk)) carrier.pause()
    })
    carrier.once("end", () => this.push(null))
    this.#held?.()
    this.#held = undefined
  }

  override _read(): void {
    this.#carrier?.resume()
  }

  override _write(chunk: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#carrier !== undefined) this.#carrier.write(chunk, done)
    else this.#held = () => this.#carrier?.write(chunk, done)
  }

  override _final(done: (error?: Error | null) => void): void {
    if (this.#carrier === undefined) done()
    else this.#carrier.end(done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#carrier?.destroy()
    this.#raw.destroy()
    done(error)
  }
}
