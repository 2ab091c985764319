/**
 * The writer: a process of its own, told by messages what to write, which answers with the moment it sent `COMMIT`.
 *
 * Times are those of the machine's monotonic clock, which all its processes share; the benchmark that starts a writer
 * checks that.
 */
import Pg from "pg"

export interface Order {
  /** Nothing to write: just tell the time. */
  readonly url?: string
  readonly statements?: ReadonlyArray<string>
}

export interface Answer {
  /** When `COMMIT` was sent, in nanoseconds. */
  readonly committedAt: string
}

const clients = new Map<string, Pg.Client>()

const clientOf = async (url: string) => {
  const known = clients.get(url)
  if (known !== undefined) return known
  const client = new Pg.Client({ connectionString: url })
  await client.connect()
  clients.set(url, client)
  return client
}

const carryOut = async ({ statements = [], url }: Order): Promise<Answer> => {
  if (url === undefined) return { committedAt: String(process.hrtime.bigint()) }
  const client = await clientOf(url)
  await client.query("BEGIN")
  for (const statement of statements) await client.query(statement)
  const committedAt = process.hrtime.bigint()
  await client.query("COMMIT")
  return { committedAt: String(committedAt) }
}

process.on("message", (order: Order) => {
  carryOut(order).then(
    (answer) => process.send?.(answer),
    (error) => {
      console.error(error)
      process.exit(1)
    }
  )
})

process.on("disconnect", () => process.exit(0))
