/**
 * What a test does to the databases of a memory plane, and to the way there.
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
 * The way between a plane and a tenant's database. What is not mentioned stays as it is.
 *
 * ```
 *   connections ──▶ requests ──▶ (the statement runs) ──▶ answers
 * ```
 *
 * @category models
 * @since 0.1.0
 */
export interface MemoryConditions {
  /** What comes of new connections; `"hang"` is given up after 5 seconds. Those that are open stay open. */
  readonly connections?: "accept" | "refuse" | "hang" | undefined
  /**
   * What comes of a statement before it runs: `"hold"` keeps it until requests pass again, `"refuse"` has the server refuse it
   * (SQLSTATE 42501), `"cut"` loses it with its connection. It did nothing where it was refused or cut.
   */
  readonly requests?: "pass" | "hold" | "refuse" | "cut" | undefined
  /**
   * What comes of an answer, after the statement ran: held, it says what was so when it ran. A write whose answer is cut has
   * landed.
   */
  readonly answers?: "pass" | "hold" | "cut" | undefined
}

/**
 * The way of a feed's session: notifications come beside the answers.
 *
 * @category models
 * @since 0.1.0
 */
export interface MemoryFeedConditions extends MemoryConditions {
  /** `"hold"` keeps notifications until they pass again, in order; `"lose"` drops them, and those that are held. */
  readonly notifications?: "pass" | "hold" | "lose" | undefined
}

/**
 * A way to a tenant's database, and what happened on it.
 *
 * @category models
 * @since 0.1.0
 */
export interface MemoryLink<Conditions> {
  /** Changes the conditions from now on. What is held and may pass, passes. */
  readonly set: (conditions: Conditions) => Effect.Effect<void>
  /**
   * Ends the connections that are open, and with them the statements under way: those whose requests are held never run. Returns
   * how many connections there were. The plane opens new ones as `connections` allows.
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
 * The way of a feed: one session that listens, and reads.
 *
 * @category models
 * @since 0.1.0
 */
export interface MemoryFeed extends MemoryLink<MemoryFeedConditions> {
  /** Sends payloads to the session that is open, as they are: once more, out of order, malformed, invented. */
  readonly notify: (payloads: ReadonlyArray<string>) => Effect.Effect<void>
  /** Takes the payloads that are held, in the order of commit: nobody is sent them any more, unless by `notify`. */
  readonly takeHeld: Effect.Effect<ReadonlyArray<string>>
}

/**
 * A change that somebody else makes; without a `value`, the row is deleted. The value need not fit the key's schema.
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
 * How somebody else makes a change.
 *
 * @category models
 * @since 0.1.0
 */
export interface MemoryChangeOptions {
  /** Who it is. Default `"stranger"`. */
  readonly actor?: string | undefined
  /**
   * `false`: the triggers are disabled, as by replication or a restored dump. No revision is drawn (a new row has 0), nobody is
   * notified. Default `true`.
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
 * One tenant's database, and the plane's two ways there. All of it takes effect at once and waits for nothing.
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
  /** Deletes the row of a key, where there is one. */
  readonly erase: (key: KeyName, options?: MemoryChangeOptions) => Effect.Effect<void>
  /** Makes several changes in one transaction: all of them or, where a value cannot be stored, none. */
  readonly transact: (
    changes: ReadonlyArray<MemoryChange>,
    options?: MemoryChangeOptions
  ) => Effect.Effect<void, EntryStoreError>
  /** Deletes all rows at once, as `TRUNCATE` does: each is announced and recorded. */
  readonly truncate: Effect.Effect<void>
  /** Copies the database. The effect it yields takes the database back to the copy, its revision sequence too; it notifies nobody. */
  readonly backup: Effect.Effect<Effect.Effect<void>>
  /** The rows, in the order of their names. */
  readonly rows: Effect.Effect<ReadonlyArray<MemoryRow>>
  /** The session that listens and reads. */
  readonly feed: MemoryFeed
  /**
   * The client for statements: writes, reads that go to the database, and the seeding of defaults. One connection, opened when
   * first needed and closed after 10 seconds without a statement.
   */
  readonly client: MemoryLink<MemoryConditions>
}

/**
 * Drives a memory plane: writes as somebody else, and breaks what can break between a plane and its databases.
 *
 * **Details**
 *
 * Nothing happens by itself and nothing is drawn at random: under `TestClock` a test decides what happens when. What a server
 * sends by itself, a notification or the end of a session, is on its way for a millisecond of the clock; statements take no time.
 * Databases come into being, empty, when first mentioned.
 *
 * **Gotchas**
 *
 * A change is in the snapshot when its notification has arrived and was read, not when `write` returns. Under `TestClock` let the
 * clock go on a little (`TestClock.adjust("1 second")`): what follows from the arrival is done by then, handlers and watchers
 * included. Under the real clock wait for what you expect (`Config.watch`, `Config.changes`).
 *
 * @category testing
 * @since 0.1.0
 */
export class MemoryDriver extends Context.Service<
  MemoryDriver,
  {
    /** Fails where the id is malformed. */
    readonly tenant: (tenant: string) => Effect.Effect<MemoryTenant, InvalidTenantId>
  }
>()("effect-systemplane/services/MemoryDriver") {
  /** See the member of the same name. */
  static readonly tenant = (tenant: string) => MemoryDriver.use((driver) => driver.tenant(tenant))

  /** Conditions of a link that is as it should be. */
  static readonly healthy = {
    connections: "accept",
    requests: "pass",
    answers: "pass",
    notifications: "pass"
  } as const satisfies MemoryFeedConditions

  /** Conditions of a peer that is gone without a word: what is open stays open, and nothing comes of anything. */
  static readonly blackHole = {
    connections: "hang",
    requests: "hold",
    answers: "hold",
    notifications: "lose"
  } as const satisfies MemoryFeedConditions
}
