/**
 * Runs tests on each PostgreSQL that is supported, since the suite itself runs on the newest.
 *
 * `npm run test:versions -- [14 15 …] [test files …]` starts a server of each version, one after the other, and runs on
 * the oldest all tests that touch PostgreSQL, and on the others the contract of `Config`, the schema, and the least
 * privileges. Tests that start servers of their own start the newest, and are left out.
 */
import { spawn } from "node:child_process"
import { fileURLToPath } from "node:url"
import { Effect, Redacted } from "effect"
import * as PostgresServer from "./PostgresServer.ts"

const root = fileURLToPath(new URL("../", import.meta.url))

const smoke = [
  "test/contract/Config",
  "test/contract/ChangeHistory",
  "test/postgres/SchemaBootstrap",
  "test/postgres/LeastPrivilege"
]

const testsOf: Readonly<Record<string, ReadonlyArray<string>>> = {
  14: ["test/contract", "test/postgres", "test/plane"],
  15: smoke,
  16: smoke,
  17: smoke
}

/** Whether the tests pass on a server of this version. */
const pass = (version: PostgresServer.MajorVersion, files: ReadonlyArray<string>) =>
  Effect.gen(function* () {
    const server = yield* PostgresServer.makeWith({}, version)
    console.log(`PostgreSQL ${version}`)
    const env = { ...process.env, SYSTEMPLANE_TEST_POSTGRES_URL: Redacted.value(server.url("postgres")) }
    return yield* Effect.callback<boolean>((resume) => {
      const tests = spawn("npx", ["vitest", "run", "--config", "vitest.versions.config.ts", ...files], {
        cwd: root,
        env,
        stdio: "inherit"
      })
      tests.on("close", (code) => resume(Effect.succeed(code === 0)))
    })
  }).pipe(Effect.scoped)

const [versions, files] = [
  process.argv.slice(2).filter((arg) => /^\d+$/.test(arg)),
  process.argv.slice(2).filter((arg) => !/^\d+$/.test(arg))
]
for (const version of versions.length === 0 ? Object.keys(testsOf) : versions) {
  const tests = files.length === 0 ? testsOf[version] : files
  if (tests === undefined) throw new Error(`there are ${Object.keys(testsOf).join(", ")}, not ${version}`)
  if (!(await Effect.runPromise(pass(Number(version) as PostgresServer.MajorVersion, tests)))) process.exitCode = 1
}
