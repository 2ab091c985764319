/**
 * How long everything may take that takes time: each statement, read and write, each attempt to connect, each pause.
 *
 * The constants of time of `src/layers` are here, but for the resolutions of clocks and timers, with the sums that the
 * docstrings of the public API promise. The times that follow from an option are computed in `schema/`: Freshness
 * (`maxStaleness`) and ReconnectDelays, and how soon a feed reads again in ReadPace.
 *
 * ```
 *   a read of the database                   5 s     its turn, the connection and the answer together
 *   ... of everything, for 1,000 keys        10 s    5 ms more for each key
 *   a read of the feed                       1 min   without a row, and 30 minutes while rows arrive
 *   a write of one key that is not answered  15 s    copies are sent for 10 s, and the last one has 5 s to be answered
 *   ... and cannot be placed once it is      20 s    5 s more for reading the table
 *   opening a session                        20 s    10 s to resolve the tenant, 5 s to connect, 5 s to listen
 * ```
 */
import * as Duration from "effect/Duration"
import { EntryStoreError, Unanswered } from "../../schema/EntryStoreError.ts"
import type { TenantId } from "../../schema/TenantId.ts"

// Statements and reads.

/**
 * How long a statement may take before it counts as unanswered. Entries are few and small: an answer takes
 * milliseconds.
 */
export const statementTimeout = "5 seconds"

/**
 * What an entry more takes in a read of many, in milliseconds: its name and its value, 100 bytes each way over a link
 * of 64 kB a second, and its row on a slow server.
 */
const perEntry = 5

/**
 * How long a read of this many entries may wait, for its turn and for its answer, in milliseconds: 5 seconds, and 55
 * for 10,000 entries.
 */
export const readTimeout = (entries: number): number =>
  Duration.toMillis(statementTimeout) + Math.max(entries - 1, 0) * perEntry

/**
 * How long the statements of a transaction may take together: an upgrade rewrites the table, or waits for another one.
 */
export const transactionTimeout = "1 minute"

/**
 * How long the feed waits at most for the first rows of everything that differs, and for the next ones: 10,000 keys are
 * about a megabyte each way, half a minute over a link of 64 kB a second, and as much again for the server. In
 * milliseconds.
 */
const longestDiff = 60_000

/**
 * How long the feed waits for the next answer, in milliseconds, if it waits `usual` for a server that is well. A fixed
 * time would be too long for one server or too short for another: if a read of 10,000 keys over a slow link takes
 * longer than that, every session would be abandoned before its first read is done, and the next one again, for ever.
 * So the time doubles whenever it ran out, and is twice what the last answer took once there is one.
 */
export const nextAnswer = {
  afterAnswer: (usual: number, took: number): number => Math.min(Math.max(usual, 2 * took), longestDiff),
  afterSilence: (waited: number): number => Math.min(2 * waited, longestDiff)
} as const

/**
 * How long the feed takes rows of one answer as long as they keep arriving: half an hour for 100 MB over the same link.
 * In milliseconds.
 */
export const longestArrival = 30 * 60_000

/** How long a statement waits for the tables of a new database: a second is left of the 5 that a read has. */
export const longestAwaitedPreparation = "4 seconds"

/** How long a read waits for the history to say what was in force before a row that does not decode. */
export const recallTimeout = "2 seconds"

/** A statement was not answered within its budget, which the message names. */
export const timedOut = (tenant: TenantId, within: Duration.Input = statementTimeout) =>
  EntryStoreError.of(
    tenant,
    new Unanswered({ code: "ETIMEDOUT", within: Duration.millis(Math.ceil(Duration.toMillis(within))) })
  )

// Locks, as the settings of PostgreSQL spell them.

/**
 * How long a write waits for a row that another transaction holds, if the role or the database does not say. A
 * statement waits twice at most, for its turn and for that transaction: 4 of its 5 seconds, so that the server ends the
 * write while the caller still listens, and its outcome is known.
 */
export const writeLockTimeout = "2s"

/** The reads of the feed end their wait for a lock themselves, before the 5 seconds that they are waited for. */
export const feedLockTimeout = "4s"

/** How often a backend that works or waits looks whether its client is still there. */
export const clientCheckInterval = "2s"

/**
 * One transaction that holds the table must not make the schema work, and every writer behind it, wait for a minute.
 */
export const schemaLockTimeout = "10s"

/**
 * After how long a server that hears nothing more from a process gives back the lock of its schema work, which other
 * processes wait for. The longest of its statements takes a second over a slow link.
 *
 * Only a peer that vanished between two of these statements needs it: a socket that is closed ends the transaction at
 * once. The next attempt waits for the lock then, also that of `rotateCredentials`.
 */
export const schemaSilenceTimeout = "5s"

/**
 * How long a verification of the history waits for writers to be done, while others wait behind it. What it did not get
 * it tries again: for about two seconds if a caller waits for it, and then for an hour in the background.
 */
export const verifyLock = {
  timeout: "100ms",
  asked: { pause: "200 millis", times: 6 },
  background: { pause: "10 seconds", times: 360 }
} as const

// Writes.

/** The bytes that a slow link carries in a second, each way. */
const slowLink = 64_000

/** What a slow server needs for each row of a write, its triggers included. In milliseconds. */
const perRow = 2

/** How long a write of these values may take, in milliseconds: 5 seconds, and more for more rows and more bytes. */
export const writeTimeout = (texts: ReadonlyArray<string | undefined>): number => {
  const bytes = texts.reduce((sum, text) => sum + Buffer.byteLength(text ?? ""), 0)
  return Duration.toMillis(statementTimeout) + (texts.length - 1) * perRow + (2000 * bytes) / slowLink
}

/**
 * A write that is not answered is sent again for twice its own time, and the last copy has that time to be answered: 10
 * and 15 seconds for a write of one key.
 */
export const writeBudget = { sending: 2, whole: 3 } as const

/** Between two copies of a write: long enough for a connection to be replaced. */
export const pauseBetweenCopies = "200 millis"

/**
 * A deadlock takes a second to be found (`deadlock_timeout`): two or three tries, and a write still ends within its
 * time.
 */
export const rollbackRetries = { firstPause: "10 millis", times: 5, within: "2 seconds" } as const

/**
 * Reads of everything that could not be judged: the first ones follow each other, the others wait, in milliseconds.
 * Seven pauses are 1.3 seconds together.
 */
export const readAgain = { atOnce: 3, firstPause: 10, longestPause: 1000, times: 11 } as const satisfies Record<
  string,
  number
>

/** How long a write that cannot be placed may wait for the table to be read. */
export const settleTimeout = "5 seconds"

// Connections.

/**
 * A client younger than this is not left for a refusal that another session would most often repeat: one connection a
 * second for each tenant that is refused, of the 200 that a process opens. In milliseconds.
 */
export const youngClient = 1_000

/** How long resolving a tenant may take: a secret store answers within seconds, or an operator should hear of it. */
export const resolveTimeout = "10 seconds"

/** How long the schedule of reconnects may take to say when: it need not ask anyone. */
export const scheduleTimeout = "1 second"

/** How long connecting may take, and listening after it, if the address does not say. */
export const connectTimeout = "5 seconds"

/** libpq's `connect_timeout=0` means no limit; here an attempt ends after half a minute at the latest. */
export const longestConnect = "30 seconds"

/**
 * How long a client or session may take to be opened: the connectors of this library take 20 seconds at most. One that
 * hangs would otherwise hold its turn, and its tenant, for ever.
 */
export const openTimeout = "30 seconds"

/** Keep-alive finds a peer that vanished without a word: probes begin after 10 idle seconds. In milliseconds. */
export const keepAliveDelay = 10_000

/** How long an unused client is kept. Clients serve reads and writes of operators, which come in bursts. */
export const idleTimeToLive = "10 seconds"

/** How long a session that was opened ahead waits for its feed, which follows at once if the tenant is still wanted. */
export const aheadTimeToLive = "100 millis"

/**
 * How long an id without a database is remembered: one that is created meanwhile is found after that. In milliseconds.
 */
export const missingFor = 30_000

// Turns, in milliseconds.

/**
 * A server that is there lets a client in within 10 ms, across a continent and with TLS within 200. An attempt that
 * takes longer may never end, and should not hold up the next one.
 */
export const longestConnectTurn = 250

/** Preparing a database that is up to date takes two short statements; one that takes longer holds up no other. */
export const longestPreparationTurn = 250

// Pauses.

/** A server that is down for long is tried at most six times a minute for each tenant, as its feed is. */
export const circuitPauses = { first: "500 millis", longest: "10 seconds" } as const

/** A circuit is open for 12 seconds at most. Ids that requests invent have circuits too, and those are forgotten. */
export const circuitIdleTimeToLive = "1 minute"

/** How often a stream asks for what was recorded since: operators see a change within about a second. */
export const historyPollInterval = "1 second"

/**
 * How often the retention is applied. Records are kept for days: an hour more is no matter, and a purge reads the whole
 * history.
 */
export const retentionInterval = "1 hour"

/** Lines about many tenants are counted in one line each ten seconds at most. In milliseconds. */
export const countedLinesInterval = 10_000
