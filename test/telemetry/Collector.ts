/** An OTLP collector that keeps what it is sent: a local HTTP server, as the exporters meet it. */
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { gunzipSync } from "node:zlib"
import { Effect } from "effect"

export interface Received {
  readonly path: string
  readonly contentType: string
  readonly body: Buffer
}

export const make = Effect.acquireRelease(
  Effect.callback<{ readonly url: string; readonly received: ReadonlyArray<Received>; readonly close: () => void }>(
    (resume) => {
      const received: Array<Received> = []
      const server = createServer((request, response) => {
        const chunks: Array<Buffer> = []
        request.on("data", (chunk) => chunks.push(chunk))
        request.on("end", () => {
          const sent = Buffer.concat(chunks)
          received.push({
            path: request.url ?? "",
            contentType: request.headers["content-type"] ?? "",
            body: request.headers["content-encoding"] === "gzip" ? gunzipSync(sent) : sent
          })
          response.writeHead(200, { "content-type": request.headers["content-type"] ?? "" }).end()
        })
      })
      server.listen(0, "127.0.0.1", () => {
        const { port } = server.address() as AddressInfo
        const close = () => {
          server.close()
          server.closeAllConnections()
        }
        resume(Effect.succeed({ url: `http://127.0.0.1:${port}`, received, close }))
      })
    }
  ),
  ({ close }) => Effect.sync(close)
)
