/**
 * The driver of a memory plane: how a test writes to its databases and breaks the connections to them.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type { InvalidTenantId } from "../schema/ConfigError.ts"
import type { EntryRow } from "../schema/EntryRow.ts"
import type { EntryStoreError } from "../schema/EntryStoreError.ts"
import type { KeyName } from "../schema/KeyName.ts"

/**
 * The conditions of the connections between a plane and a tenant's database. A condition that is not given stays as it
 * is.
 *
 * ```
 *   connections ──▶ requests ──▶ (the statement runs) ──▶ answers
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export interface MemoryConditions {
  /** What happens to new connections; `"hang"` fails after 5 seconds. Open connections stay open. */
  readonly connections?: "accept" | "refuse" | "hang" | undefined
  /**
   * What happens to a statement before it runs: `"hold"` keeps it until requests pass again, `"refuse"` has the server
   * refuse it (SQLSTATE 42501), `"cut"` loses it with its connection. A statement that was refused or cut did nothing.
   */
  readonly requests?: "pass" | "hold" | "refuse" | "cut" | undefined
  /**
   * What happens to an answer, after the statement ran. An answer that was held shows the state at the time of the
   * statement. A write whose answer is cut has landed.
   */
  readonly answers?: "pass" | "hold" | "cut" | undefined
}

/**
 * The conditions of a feed's session, which receives notifications beside answers.
 *
 * @category models
 * @since 0.1.0
 */
export interface MemoryFeedConditions extends MemoryConditions {
  /** `"hold"` keeps notifications until they pass again, in order; `"lose"` drops them, and those that are held. */
  readonly notifications?: "pass" | "hold" | "lose" | undefined
}

/**
 * The connections of one kind to a tenant's database, and what happened on them.
 *
 * @category models
 * @since 0.1.0
 */
export interface MemoryLink<Conditions> {
  /** Changes the conditions from now on. What was held and may now pass, passes. */
  readonly set: (conditions: Conditions) => Effect.Effect<void>
  /**
   * Ends the open connections, and the statements under way with them: a statement whose request is held never runs.
   * Returns the number of connections. The plane opens new ones as `connections` allows.
   */
  readonly disconnect: Effect.Effect<number>
  /** How many connections are open. */
  readonly open: Effect.Effect<number>
  /** When connections were attempted, in milliseconds, by the clock. */
  readonly attempts: Effect.Effect<ReadonlyArray<number>>
  /** How many statements were sent so far. */
  readonly statements: Effect.Effect<number>
}

/**
 * The connection of a feed: one session that listens and reads.
 *
 * @category models
 * @since 0.1.0
 */
export interface MemoryFeed extends MemoryLink<MemoryFeedConditions> {
  /** Sends payloads to the session that is open, as they are: once more, out of order, malformed, invented. */
  readonly notify: (payloads: ReadonlyArray<string>) => Effect.Effect<void>
  /**
   * Takes the payloads that are held, in the order of commit: no session receives them any more, unless by `notify`.
   */
  readonly takeHeld: Effect.Effect<ReadonlyArray<string>>
}

/**
 * A change by another writer; without a `value`, the row is deleted. The value need not fit the key's schema.
 *
 * @category models
 * @since 0.1.0
 */
export interface MemoryChange {
  /** A `ConfigKey`, or just its names. */
  readonly key: KeyName
  /** Anything that JSON can express. */
  readonly value?: unknown
}

/**
 * How another writer makes a change.
 *
 * @category models
 * @since 0.1.0
 */
export interface MemoryChangeOptions {
  /** The writer's name. Default `"stranger"`. */
  readonly actor?: string | undefined
  /**
   * `false`: the triggers are disabled, as by replication or a restored dump. No revision is drawn (a new row has 0),
   * and no notification is sent. Default `true`.
   */
  readonly triggers?: boolean | undefined
}

/**
 * A row as it is stored, with its names.
 *
 * @category models
 * @since 0.1.0
 */
export interface MemoryRow extends KeyName, EntryRow {}

/**
 * One tenant's database, and the plane's two kinds of connections to it. Each member takes effect at once.
 *
 * @category models
 * @since 0.1.0
 */
export interface MemoryTenant {
  /** Writes a value as plain SQL by hand does, and returns the row. */
  readonly write: (
    key: KeyName,
    value: unknown,
    options?: MemoryChangeOptions
  ) => Effect.Effect<MemoryRow, EntryStoreError>
  /** Deletes the row of a key, if there is one. */
  readonly erase: (key: KeyName, options?: MemoryChangeOptions) => Effect.Effect<void>
  /** Makes several changes in one transaction: all of them or, if a value cannot be stored, none. */
  readonly transact: (
    changes: ReadonlyArray<MemoryChange>,
    options?: MemoryChangeOptions
  ) => Effect.Effect<void, EntryStoreError>
  /** Deletes all rows at once, as `TRUNCATE` does: each is announced and recorded. */
  readonly truncate: Effect.Effect<void>
  /**
   * Copies the database. The effect it yields takes the database back to the copy, its revision sequence too; it
   * sends no notification.
   */
  readonly backup: Effect.Effect<Effect.Effect<void>>
  /** The rows, in the order of their names. */
  readonly rows: Effect.Effect<ReadonlyArray<MemoryRow>>
  /** The session that listens and reads. */
  readonly feed: MemoryFeed
  /**
   * The client for statements: writes, reads that go to the database, and the seeding of defaults. One connection,
   * opened when first needed and closed after 10 seconds without a statement.
   */
  readonly client: MemoryLink<MemoryConditions>
}

/**
 * Drives a memory plane: writes as another process does, and breaks what can break between a plane and its databases.
 *
 * **Details**
 *
 * Nothing happens by itself and nothing is drawn at random: under `TestClock` a test decides what happens when. A
 * notification and the end of a session take a millisecond of the clock to arrive; statements take no time. A database
 * is created, empty, when it is first mentioned.
 *
 * **Gotchas**
 *
 * A change is in the snapshot once its notification has arrived and the table was read, not when `write` returns. Under
 * `TestClock` advance the clock a little (`TestClock.adjust("1 second")`): handlers and watchers have run by then.
 * Under the real clock wait for what you expect (`Config.watch`, `Config.changes`).
 *
 * @category testing
 * @since 0.1.0
 */
export class MemoryDriver extends Context.Service<
  MemoryDriver,
  {
    /** Fails if the id is malformed. */
    readonly tenant: (tenant: string) => Effect.Effect<MemoryTenant, InvalidTenantId>
  }
>()("effect-systemplane/services/MemoryDriver") {
  /** See the member of the same name. */
  static readonly tenant = (tenant: string) => MemoryDriver.use((driver) => driver.tenant(tenant))

  /** The conditions of a healthy connection. */
  static readonly healthy = {
    connections: "accept",
    requests: "pass",
    answers: "pass",
    notifications: "pass"
  } as const satisfies MemoryFeedConditions

  /** The conditions of a peer that vanished without a word: open connections stay open, and nothing is answered. */
  static readonly blackHole = {
    connections: "hang",
    requests: "hold",
    answers: "hold",
    notifications: "lose"
  } as const satisfies MemoryFeedConditions
}
