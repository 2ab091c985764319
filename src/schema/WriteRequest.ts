/**
 * What is to be written: checked and encoded before anything is sent.
 *
 * A caller may have got past the compiler, so what it gives is read once, as plain data, and then checked. Everything
 * that the plane can tell beforehand is told here: a value that no process would put in force once it is stored, an
 * actor or a reason that a log or a table cannot show, a revision that is not a whole number. A reason never holds the
 * value.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import { ConfigError, InvalidActor, InvalidChange, InvalidValue } from "./ConfigError.ts"
import type { Assignment, ConfigKey } from "./ConfigKey.ts"
import type { EntryRow } from "./EntryRow.ts"
import * as JsonText from "./JsonText.ts"
import * as SeedMark from "./SeedMark.ts"
import * as StoredValue from "./StoredValue.ts"

/** What is to become of a key, already encoded. */
export interface CacheWrite {
  readonly key: ConfigKey.Any
  /** The value as JSON text; `undefined` deletes the row. */
  readonly json: string | undefined
  /** Write only over this revision; 0: only if the default is in force. */
  readonly ifRevision?: number | undefined
}

/** Who writes, why, and under which id; what the history says of the change. */
export interface ChangeRequest {
  /** A UUID. A change takes effect once, however often it is sent. */
  readonly id: string
  readonly actor: string
  readonly reason?: string | undefined
  /** Whether the caller gave the id, and so may have sent the change before. */
  readonly given?: boolean | undefined
}

/** What a change made of one key. */
export interface Written {
  /** The row as the change left it; `undefined`: there is none. */
  readonly row: EntryRow | undefined
  /** The revision of the row that was deleted; `undefined`: none was. */
  readonly deleted: number | undefined
}

/** What a change made of its keys, in the order of the writes. */
export interface Receipt {
  readonly written: ReadonlyArray<Written>
  /** `false` if an earlier copy of the change wrote this, and another writer has written since. */
  readonly current: boolean
}

/**
 * Options of `Config.setAll`.
 *
 * @category models
 * @since 0.1.0
 */
export interface WriteAllOptions {
  /**
   * Who writes: stored with the entry and in the history, shown to operators. Not empty, not a secret, at most 256
   * characters without control characters, and not beginning with `systemplane.manager:`, which marks seeds.
   */
  readonly actor: string
  /** Why, for the history. Not a secret; at most 4,000 characters, on one line or several. */
  readonly reason?: string | undefined
  /**
   * A UUID that names the change in the history; made by this library if absent. On a database with a history it takes
   * effect once: writing the same again with the same id writes nothing, and returns what the first write left. Another
   * content fails with `ChangeIdReused`; that of a secret once it was changed since cannot be told apart.
   */
  readonly changeId?: string | undefined
}

/**
 * Options of `Config.set` and `Config.remove`.
 *
 * @category models
 * @since 0.1.0
 */
export interface WriteOptions extends WriteAllOptions {
  /**
   * Write only while the entry is at this revision; 0: only while no value is stored. Of several writers that expect
   * the same revision, one succeeds; the others fail with `RevisionConflict`.
   */
  readonly ifRevision?: number | undefined
}

/** A checked request: what is to be written, as which change. */
export interface WriteRequest {
  readonly writes: ReadonlyArray<CacheWrite>
  readonly change: ChangeRequest
}

/** Encodes assignments; `InvalidValue` names every one that is refused, and why, without its value. */
export const ofAssignments = (
  assignments: ReadonlyArray<Assignment.Any>,
  options: WriteAllOptions
): Result.Result<WriteRequest, ConfigError> =>
  Result.flatMap(changeOf(options), (change) => {
    const writes: Array<CacheWrite> = []
    const problems: Array<Problem> = []
    const named = new Set<ConfigKey.Any>()
    for (const { ifRevision, key, value } of assignments) {
      const json = encodeText(key, value)
      const problem = revisionProblem(ifRevision)
      if (problem !== undefined) problems.push(problemOf(key, problem))
      else if (Result.isFailure(json)) problems.push(problemOf(key, json.failure))
      else if (named.has(key)) problems.push(problemOf(key, "it is given twice"))
      else writes.push({ key, json: json.success, ifRevision })
      named.add(key)
    }
    return problems.length > 0 ? refuse(problems) : Result.succeed({ writes, change })
  })

/**
 * What a caller says of a write, as plain data. It is read here once: a getter or a proxy may throw, and may say
 * another thing when it is asked again.
 */
export const optionsOf = (given: unknown): Result.Result<WriteOptions, ConfigError> =>
  Result.try({
    try: () => {
      const { actor, changeId, ifRevision, reason } = (given ?? {}) as WriteOptions
      return { actor, changeId, ifRevision, reason }
    },
    catch: () => invalidChange("its options cannot be read")
  })

/** What a caller assigns, as plain data, read once as the options are. */
export const assignmentsOf = (given: unknown): Result.Result<ReadonlyArray<Assignment.Any>, ConfigError> =>
  Result.try({
    try: () =>
      Array.from(given as ReadonlyArray<Assignment.Any>, ({ ifRevision, key, value }) => ({ ifRevision, key, value })),
    catch: () => invalidChange("its assignments cannot be read")
  })

/** The actor as a span shows it, whatever a caller gave. */
export const shownActor = ({ actor }: WriteOptions): string | undefined =>
  typeof actor === "string" ? actor.slice(0, longestActor) : undefined

/** The request that deletes a key's row. */
export const ofRemoval = (
  key: ConfigKey.Any,
  { ifRevision, ...options }: WriteOptions
): Result.Result<WriteRequest, ConfigError> => {
  const problem = revisionProblem(ifRevision)
  if (problem !== undefined) return refuse([problemOf(key, problem)])
  return Result.map(changeOf(options), (change) => ({ writes: [{ key, json: undefined, ifRevision }], change }))
}

/** The change that a caller describes. Its id is made here if the caller gives none. */
export const changeOf = ({ actor, changeId, reason }: WriteAllOptions): Result.Result<ChangeRequest, ConfigError> => {
  const problem = actorProblem(actor)
  if (problem !== undefined) return Result.fail(new ConfigError({ reason: new InvalidActor({ problem }) }))
  const unfit = reason === undefined ? undefined : reasonProblem(reason)
  if (unfit !== undefined) return Result.fail(invalidChange(`its reason: ${unfit}`))
  if (changeId !== undefined && (typeof changeId !== "string" || !uuid.test(changeId))) {
    return Result.fail(invalidChange("its changeId is not a UUID"))
  }
  return Result.succeed(
    changeId === undefined
      ? { id: crypto.randomUUID(), actor, reason }
      : { id: changeId.toLowerCase(), actor, reason, given: true }
  )
}

/** A value in force as JSON, for tools. */
export const encode = <A>(key: ConfigKey<A>, value: A): Result.Result<JsonText.Json, ConfigError> =>
  Result.mapError(key.encode(value), (problem) => refused([problemOf(key, problem)]))

type Problem = InvalidValue["problems"][number]

const problemOf = ({ key, namespace }: ConfigKey.Any, problem: string): Problem => ({ namespace, key, problem })

const refused = (problems: ReadonlyArray<Problem>) => new ConfigError({ reason: new InvalidValue({ problems }) })

const refuse = (problems: ReadonlyArray<Problem>) => Result.fail(refused(problems))

const encodeText = <A>(key: ConfigKey<A>, value: A): Result.Result<string, string> =>
  key.encode(value).pipe(
    Result.flatMap((json) =>
      Result.mapError(JsonText.encode(json), (problem) => (key.secret ? "jsonb cannot hold it" : problem))
    ),
    Result.flatMap((text) => {
      const problem = readingProblem(text)
      return problem === undefined ? Result.succeed(text) : Result.fail(problem)
    })
  )

/** Why no process would put this text in force once it is stored. */
const readingProblem = (text: string): string | undefined => {
  const bytes = bytesOnServer(text)
  return (bytes > StoredValue.maxBytes ? StoredValue.tooLong(bytes) : StoredValue.parse(text)).problem
}

/** How long the text is as the server writes it: with a space after each comma and colon, and without exponents. */
const bytesOnServer = (text: string): number => {
  const outsideStrings = text.replaceAll(/"(?:[^"\\]|\\.)*"/g, "")
  let bytes = new TextEncoder().encode(text).length + (outsideStrings.match(/[,:]/g)?.length ?? 0)
  for (const [token, fraction = "", exponent] of outsideStrings.matchAll(/\d(?:\.(\d+))?e([+-]\d+)/g)) {
    const places = Number(exponent)
    bytes += (places < 0 ? 2 - places + fraction.length : 1 + places) - token.length
  }
  return bytes
}

const uuid = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i

const invalidChange = (problem: string) => new ConfigError({ reason: new InvalidChange({ problem }) })

/** A name, for a column of a table; and a few paragraphs, for people. In UTF-16 units. */
const longestActor = 256
const longestReason = 4_000

const textProblem = (text: unknown, longest: number): string | undefined => {
  if (typeof text !== "string") return "it must be text"
  if (text.length > longest) return `it has ${text.length} characters, and ${longest} are the most`
  return Result.isSuccess(JsonText.encode(text)) ? undefined : "it must be well-formed text without U+0000"
}

/** Control characters, line ends, and what reverses the direction of text: logs and tables show an actor as it is. */
const unprintable = /[\p{Cc}\p{Zl}\p{Zp}\u202a-\u202e\u2066-\u2069]/u
const unprintableInLines = /[^\P{Cc}\t\r\n]/u
const visible = /[^\p{Z}\p{Cc}\p{Cf}]/u

const actorProblem = (actor: unknown): string | undefined => {
  const problem = textProblem(actor, longestActor)
  if (problem !== undefined) return problem
  const text = actor as string
  if (!visible.test(text)) return "it is empty"
  if (unprintable.test(text)) return "it has a control character"
  return SeedMark.isClaimed(text) ? "it is the name under which defaults are seeded" : undefined
}

const reasonProblem = (reason: unknown): string | undefined =>
  textProblem(reason, longestReason) ??
  (unprintableInLines.test(reason as string) ? "it has a control character other than a tab and a line end" : undefined)

const revisionProblem = (ifRevision: number | undefined): string | undefined =>
  ifRevision === undefined || (Number.isSafeInteger(ifRevision) && ifRevision >= 0)
    ? undefined
    : "ifRevision must be a whole number, 0 or more"
