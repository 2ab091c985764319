/**
 * Writes the schema and the grants as the package's `sql/*.sql`, for migration tools that take files and for `psql`.
 *
 * `npm run build` runs it after the compiler: the files say what `effect-systemplane/ddl` says, and nothing is kept
 * twice.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs"
import { sql } from "effect-systemplane/ddl"
import * as DdlGrants from "../src/schema/ddl/DdlGrants.ts"

const schema = `-- effect-systemplane: what a tenant's database holds. Run it as the owner; it can be run again at any time.
-- Made from Ddl.sql of this version.
${sql}`

const grants = `-- effect-systemplane: what the run-time role needs, on a database that schema.sql has prepared.
-- psql -v role=app -f grants.sql; for other tools, write the role's name in place of :"role".
${DdlGrants.runtime.map(({ statement }) => `${statement.replace("{schema}.", "")} :"role";\n`).join("")}`

/** The files by their name. */
export const files: Readonly<Record<string, string>> = { "schema.sql": schema, "grants.sql": grants }

if (import.meta.main) {
  const directory = new URL("../sql/", import.meta.url)
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory)
  for (const [name, text] of Object.entries(files)) writeFileSync(new URL(name, directory), text)
}
