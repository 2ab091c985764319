/**
 * The options of the plane, with their defaults.
 *
 * Options are checked once, when a layer is built: what cannot be read fails there with `InvalidOption`, by name. From
 * then on the layers have every option, defaults filled in, durations as milliseconds.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Schema from "effect/Schema"
import type { ConfigKey } from "./ConfigKey.ts"
import * as JsonText from "./JsonText.ts"
import * as Reconnect from "./ReconnectDelays.ts"

/**
 * Options of `SystemplaneLive`.
 *
 * @category models
 * @since 0.1.0
 */
export interface SystemplaneOptions {
  /**
   * The declared keys. One that is given twice counts once; two different ones under one name fail the layer with
   * `DuplicateKey`.
   */
  readonly keys: ReadonlyArray<ConfigKey.Any>
  /** Tenants activated while the layer is built. Default: none; with a single-tenant connector, its tenant. */
  readonly tenants?: ReadonlyArray<string> | undefined
  /**
   * When the layer is built. `"settle"` (default): once each tenant of `tenants` is live or its first attempt has
   * failed, at the latest after `bootTimeout`; those that failed are tried for ever. `"require"`: the layer fails
   * unless all are live within `bootTimeout`. `"background"`: at once. What can never mend itself (a malformed tenant
   * id, an address that does not parse) fails the layer in the first two cases.
   */
  readonly boot?: "settle" | "require" | "background" | undefined
  /** Default 10 seconds. */
  readonly bootTimeout?: Duration.Input | undefined
  /**
   * `"onDemand"` (default): the first read of an unknown tenant activates it in the background. `"explicit"`: only
   * `TenantManager` does.
   */
  readonly activation?: "onDemand" | "explicit" | undefined
  /**
   * What activation does about the schema. `"ensure"` (default): create or upgrade what is missing or outdated.
   * `"verify"`: fail if anything is. `"skip"`: do not look.
   */
  readonly bootstrap?: "ensure" | "verify" | "skip" | undefined
  /** Write missing defaults as rows on activation. Default `true`. */
  readonly seedDefaults?: boolean | undefined
  /**
   * The pauses between attempts to connect. Bounds make them exponential with full jitter, as `Reconnect.schedule`
   * does. Defaults 500 milliseconds and 30 seconds. A schedule of your own that ends, or throws, goes on with pauses of
   * up to 30 seconds: a tenant is never abandoned.
   */
  readonly reconnect?: Reconnect.ReconnectBounds | Schedule.Schedule<unknown> | undefined
  /** Consecutive failed attempts to reconnect after which reads go to the database. Default 3. */
  readonly staleAfterFailures?: number | undefined
  /**
   * How long a value may stay unconfirmed before it counts as stale. Default 30 seconds, at least 1, and ten times what
   * the server takes to answer a short statement: a verification is up to four of them.
   */
  readonly maxStaleness?: Duration.Input | undefined
  /** Keys beyond it are not cached: they are read through, and cannot be watched. Default 10,000. */
  readonly maxEntriesPerTenant?: number | undefined
  /** Tenants that are being activated, or reconnected, at once. Default 8. */
  readonly maxConcurrentActivations?: number | undefined
  /** Connections that this process opens in any one second, for all purposes. Default 200. */
  readonly maxConnectsPerSecond?: number | undefined
  /** Above this many tenants metrics carry `tenant_id="aggregate"`. Default 1,000. */
  readonly aggregateTenantThreshold?: number | undefined
  /**
   * `false`: databases are prepared without a history. `{ keepDays, keepPerKey }`: records that are older than
   * `keepDays` days, and are not among the `keepPerKey` newest ones of their key, are removed once an hour, if the role
   * may; never the record of a revision in force, nor one younger than a day. Default: a history that keeps everything.
   */
  readonly history?:
    | false
    | { readonly keepDays?: number | undefined; readonly keepPerKey?: number | undefined }
    | undefined
  /**
   * How operators see this process: in the catalogue of keys. Default: name and version of the package that npm runs,
   * if it is npm that runs it.
   */
  readonly process?:
    | {
        readonly application?: string | undefined
        readonly version?: string | undefined
        readonly host?: string | undefined
      }
    | undefined
  /**
   * How long closing the layer waits for sessions to be released, and for writes under way. Default 5 seconds. What is
   * not done by then goes on in the background, and such a write fails with `WriteOutcomeUnknown`.
   */
  readonly drainTimeout?: Duration.Input | undefined
}

/**
 * An option has a value that it cannot have.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidOption extends Schema.TaggedError<InvalidOption>()("InvalidOption", {
  option: Schema.String,
  expected: Schema.String
}) {
  override get message() {
    return `The option ${this.option} must be ${this.expected}`
  }
}

/** The options with defaults filled in; durations in milliseconds. */
export interface Settings {
  readonly boot: "settle" | "require" | "background"
  readonly bootTimeout: number
  readonly activation: "onDemand" | "explicit"
  readonly bootstrap: "ensure" | "verify" | "skip"
  readonly seedDefaults: boolean
  readonly reconnect: Schedule.Schedule<unknown>
  readonly staleAfterFailures: number
  readonly maxStaleness: number
  readonly maxEntriesPerTenant: number
  readonly maxConcurrentActivations: number
  readonly maxConnectsPerSecond: number
  readonly aggregateTenantThreshold: number
  readonly drainTimeout: number
  /** What the history keeps; `undefined` without one. */
  readonly history: { readonly keepDays: number | undefined; readonly keepPerKey: number | undefined } | undefined
  /** `application@version` of this process. */
  readonly declaredBy: string
}

/**
 * Checks the options and fills in the defaults.
 *
 * @since 0.1.0
 */
export const resolve = (options: SystemplaneOptions): Result.Result<Settings, InvalidOption> => {
  try {
    return resolveReadable(options)
  } catch {
    // No compiler may have checked them: a getter or a proxy may throw.
    return Result.fail(new InvalidOption({ option: "options", expected: "an object that can be read" }))
  }
}

const resolveReadable = (options: SystemplaneOptions): Result.Result<Settings, InvalidOption> =>
  Result.gen(function* () {
    yield* expect("keys", Array.isArray(options.keys) && options.keys.every(isKey), "keys of ConfigKey.make")
    yield* expect("tenants", options.tenants === undefined || Array.isArray(options.tenants), "a list of tenant ids")
    yield* expect("seedDefaults", [undefined, true, false].includes(options.seedDefaults), "true or false")
    return {
      boot: yield* oneOf("boot", options.boot ?? "settle", ["settle", "require", "background"]),
      bootTimeout: yield* millis("bootTimeout", options.bootTimeout ?? "10 seconds", 1),
      activation: yield* oneOf("activation", options.activation ?? "onDemand", ["onDemand", "explicit"]),
      bootstrap: yield* oneOf("bootstrap", options.bootstrap ?? "ensure", ["ensure", "verify", "skip"]),
      seedDefaults: options.seedDefaults ?? true,
      reconnect: yield* reconnect(options.reconnect),
      staleAfterFailures: yield* integer("staleAfterFailures", options.staleAfterFailures ?? 3, 1),
      maxStaleness: yield* millis("maxStaleness", options.maxStaleness ?? "30 seconds", 1000),
      maxEntriesPerTenant: yield* integer("maxEntriesPerTenant", options.maxEntriesPerTenant ?? 10_000, 0),
      maxConcurrentActivations: yield* integer("maxConcurrentActivations", options.maxConcurrentActivations ?? 8, 1),
      maxConnectsPerSecond: yield* integer(
        "maxConnectsPerSecond",
        options.maxConnectsPerSecond ?? connectsPerSecond,
        1
      ),
      aggregateTenantThreshold: yield* integer("aggregateTenantThreshold", options.aggregateTenantThreshold ?? 1000, 0),
      drainTimeout: yield* millis("drainTimeout", options.drainTimeout ?? "5 seconds", 0),
      history: yield* retention(options.history),
      declaredBy: yield* declaredBy(options.process)
    }
  })

const reconnect = (given: SystemplaneOptions["reconnect"]): Result.Result<Schedule.Schedule<unknown>, InvalidOption> =>
  Result.gen(function* () {
    yield* expect("reconnect", typeof (given ?? {}) === "object" || Schedule.isSchedule(given), "bounds, or a Schedule")
    if (Schedule.isSchedule(given)) return given as Schedule.Schedule<unknown>
    const base = yield* millis("reconnect.base", given?.base ?? Reconnect.defaults.base, 1)
    const cap = yield* millis("reconnect.cap", given?.cap ?? Reconnect.defaults.cap, base)
    return Reconnect.schedule({ base, cap })
  })

const retention = (given: SystemplaneOptions["history"]): Result.Result<Settings["history"], InvalidOption> =>
  Result.gen(function* () {
    if (given === false) return undefined
    yield* expect("history", typeof (given ?? {}) === "object", "false, or an object")
    const { keepDays, keepPerKey } = given ?? {}
    return {
      keepDays: keepDays === undefined ? undefined : yield* integer("history.keepDays", keepDays, 1),
      keepPerKey: keepPerKey === undefined ? undefined : yield* integer("history.keepPerKey", keepPerKey, 1)
    }
  })

/** What npm tells a process that it runs. There is no such thing in a browser. */
const npm = (name: string): string | undefined =>
  (globalThis as { process?: { env?: Record<string, string | undefined> } }).process?.env?.[`npm_package_${name}`]

const declaredBy = (given: SystemplaneOptions["process"]): Result.Result<string, InvalidOption> => {
  const application = given?.application ?? npm("name") ?? "unknown"
  const version = given?.version ?? npm("version") ?? "unknown"
  return [application, version].every((text) => Result.isSuccess(JsonText.encode(text)) && text !== "")
    ? Result.succeed(`${application}@${version}`)
    : Result.fail(new InvalidOption({ option: "process", expected: "text that is not empty" }))
}

/**
 * PostgreSQL forks a process for each connection and checks a password on it: some milliseconds of a core, so that two
 * cores accept a few hundred a second if they do nothing else. 200 leave such a server room for its work, and bring 200
 * tenants back within about a second.
 */
const connectsPerSecond = 200

const millis = (option: string, input: Duration.Input, atLeast: number): Result.Result<number, InvalidOption> => {
  const value = Option.map(Duration.fromInput(input), Duration.toMillis)
  return Option.isSome(value) && Number.isFinite(value.value) && value.value >= atLeast
    ? Result.succeed(value.value)
    : Result.fail(new InvalidOption({ option, expected: `a finite duration of at least ${atLeast} ms` }))
}

const integer = (option: string, value: number, atLeast: number): Result.Result<number, InvalidOption> =>
  Number.isSafeInteger(value) && value >= atLeast
    ? Result.succeed(value)
    : Result.fail(new InvalidOption({ option, expected: `a whole number of at least ${atLeast}` }))

const isKey = (key: unknown): boolean =>
  typeof key === "object" && key !== null && "encode" in key && typeof key.encode === "function"

const expect = (option: string, holds: boolean, expected: string): Result.Result<void, InvalidOption> =>
  holds ? Result.void : Result.fail(new InvalidOption({ option, expected }))

const oneOf = <A extends string>(
  option: string,
  value: A,
  allowed: ReadonlyArray<A>
): Result.Result<A, InvalidOption> =>
  allowed.includes(value)
    ? Result.succeed(value)
    : Result.fail(new InvalidOption({ option, expected: allowed.map((name) => JSON.stringify(name)).join(" or ") }))
