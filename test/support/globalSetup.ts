/**
 * One PostgreSQL server for the whole run. `SYSTEMPLANE_TEST_POSTGRES_URL` names another one: a superuser on an empty
 * server.
 */
import { Effect, Exit, Redacted, Scope } from "effect"
import type { TestProject } from "vitest/node"
import * as PostgresServer from "../../dev/PostgresServer.ts"

declare module "vitest" {
  interface ProvidedContext {
    readonly postgresUrl: string
  }
}

export default async function setup(project: TestProject) {
  const given = process.env.SYSTEMPLANE_TEST_POSTGRES_URL
  if (given !== undefined && given !== "") {
    project.provide("postgresUrl", given)
    return
  }
  const scope = Scope.makeUnsafe()
  try {
    const server = await Effect.runPromise(Scope.provide(PostgresServer.make, scope))
    project.provide("postgresUrl", Redacted.value(server.url("postgres")))
  } catch (error) {
    await Effect.runPromise(Scope.close(scope, Exit.void))
    console.error(error instanceof Error ? error.message : error)
    process.exit(1)
  }
  return () => Effect.runPromise(Scope.close(scope, Exit.void))
}
