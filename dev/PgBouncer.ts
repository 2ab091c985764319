/** PgBouncer in transaction mode, in front of the server of the tests. */
import { execFileSync, spawn } from "node:child_process"
import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Effect, Redacted } from "effect"
import { inject } from "vitest"
import { freePort } from "./PostgresServer.ts"

// Debian installs it where only root's path leads.
const program = ["pgbouncer", "/usr/sbin/pgbouncer"].find((name) => {
  try {
    execFileSync(name, ["--version"], { stdio: "ignore" })
    return true
  } catch {
    return false
  }
})

/** Why the tests that need it are skipped; `undefined` if it is installed. */
export const missing =
  program === undefined ? "skipped, since pgbouncer is not installed (Debian: apt-get install pgbouncer)" : undefined

/**
 * Starts a pooler that lives as long as the scope, with settings of PgBouncer's own, and returns how a URL of the
 * server leads through it.
 */
export const make = Effect.fnUntraced(function* (settings: Readonly<Record<string, string>> = {}) {
  const server = new URL(inject("postgresUrl"))
  const directory = yield* Effect.acquireRelease(
    Effect.promise(() => mkdtemp(join(tmpdir(), "systemplane-pgbouncer-"))),
    (directory) => Effect.promise(() => rm(directory, { recursive: true, force: true }))
  )
  const port = yield* Effect.promise(freePort)
  const config = join(directory, "pgbouncer.ini")
  yield* Effect.promise(async () => {
    const all = {
      listen_addr: "127.0.0.1",
      listen_port: port,
      unix_socket_dir: "",
      auth_type: "any",
      pool_mode: "transaction",
      ...settings
    }
    await writeFile(
      config,
      [
        "[databases]",
        `* = host=${server.hostname} port=${server.port || 5432} user=${server.username} password=${server.password}`,
        "[pgbouncer]",
        ...Object.entries(all).map(([name, value]) => `${name} = ${value}`),
        ""
      ].join("\n")
    )
    // The user that it runs as has to read it.
    await chmod(directory, 0o755)
  })
  const log: Array<string> = []
  yield* Effect.acquireRelease(
    Effect.callback<() => Promise<void>>((resume) => {
      // It refuses to run as root.
      const args = process.getuid?.() === 0 ? ["-u", "nobody", config] : [config]
      const pooler = spawn(program ?? "pgbouncer", args, { stdio: ["ignore", "ignore", "pipe"] })
      const exited = new Promise<void>((resolve) => pooler.once("exit", () => resolve()))
      pooler.once("exit", () => resume(Effect.die(new Error(`pgbouncer did not start: ${log.join("")}`))))
      pooler.stderr.on("data", (line) => {
        log.push(String(line))
        if (!String(line).includes("process up")) return
        resume(
          Effect.succeed(() => {
            pooler.kill("SIGQUIT")
            return exited
          })
        )
      })
    }),
    (stop) => Effect.promise(stop)
  )
  return (url: Redacted.Redacted): Redacted.Redacted => {
    const through = new URL(Redacted.value(url))
    through.host = `127.0.0.1:${port}`
    return Redacted.make(through.toString())
  }
})
