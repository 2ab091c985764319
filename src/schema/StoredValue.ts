/**
 * From the text of a stored JSON value to the value of its key. Nothing here throws, whatever the text is and whatever
 * the code of a schema does with it: what goes wrong is the reason why this one row is rejected.
 *
 * A document may be 1 MiB long as the server writes it, and 200 levels deep; beyond that a row is rejected. A number
 * that a double cannot hold (`1e400`, 9007199254740993) is handed to the schema as the text of its digits, and is
 * accepted only if the schema makes a `bigint` or a `BigDecimal` of it. A reason names neither a value nor a name out
 * of the document, but the paths that the schema declares.
 *
 * @since 0.1.0
 */
import * as BigDecimal from "effect/BigDecimal"
import * as Result from "effect/Result"
import type { EntryRow } from "./EntryRow.ts"

/** How long a value may be, in bytes of the text that the server writes. Longer ones are not fetched. */
export const maxBytes = 1_048_576

/** How many objects and arrays may lie within each other. Schemas of applications recurse over them. */
export const maxDepth = 200

type Path = ReadonlyArray<string>

interface Decoder {
  readonly decode: (json: unknown) => Result.Result<unknown, string>
}

/** A value as it was parsed: what of a row does not depend on its key. */
export type StoredValue = Pick<EntryRow, "value" | "problem" | "inexact">

/** Sixteen digits in a row are the shortest that a double may not hold; most texts have none outside a string. */
const manyDigits = /(?:^|[[:, ])-?(?:[0-9.]{16}|[0-9.]+[eE])/

/** Looks for digits only in a text that is long enough for sixteen, or has an exponent. */
const mayBeInexact = (text: string): boolean =>
  (text.length >= 16 || text.includes("e") || text.includes("E")) && manyDigits.test(text)

/** Parses a text that PostgreSQL wrote. */
export const parse = (text: string): StoredValue => {
  if (isTooDeep(text)) return tooDeep
  try {
    return mayBeInexact(text) ? withDigits(text) : { value: JSON.parse(text) }
  } catch {
    return rejected("it is not JSON")
  }
}

const rejected = (problem: string): StoredValue => ({ value: undefined, problem })

/** A value that was too long to be fetched. */
export const tooLong = (bytes: number): StoredValue =>
  rejected(`it is ${bytes} bytes long, and ${maxBytes} are the most`)

/** A value that is too deep to be parsed. */
export const tooDeep: StoredValue = rejected(`it is more than ${maxDepth} levels deep`)

/** A value whose text has bytes that are not UTF-8, from a server in `SQL_ASCII`. */
export const notUtf8: StoredValue = rejected("its text is not UTF-8")

const bracket = /[[{]/g

/**
 * Looks at the text: a value that is too deep is not built. Brackets in strings count only once the quick look finds
 * many.
 */
const isTooDeep = (text: string): boolean => {
  if (text.length <= maxDepth) return false
  bracket.lastIndex = 0
  for (let found = 0; bracket.test(text); ) if (++found > maxDepth) return depthOf(text) > maxDepth
  return false
}

const depthOf = (text: string): number => {
  let depth = 0
  let deepest = 0
  for (let i = 0; i < text.length; i++) {
    const char = text[i]
    if (char === '"') {
      for (i++; i < text.length && text[i] !== '"'; i++) if (text[i] === "\\") i++
    } else if (char === "[" || char === "{") deepest = Math.max(deepest, ++depth)
    else if (char === "]" || char === "}") depth--
  }
  return deepest
}

/** The digits of a number that a double cannot hold, while a document is parsed. */
class Digits {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }
}

// The parser hands over what it read a number from; TypeScript's declarations do not know of it yet.
type Reviver = (name: string, part: unknown, context: { readonly source?: string }) => unknown

const kept: Reviver = (_name, part, { source }) =>
  typeof part === "number" && source !== undefined && !isExact(source) ? new Digits(source) : part

/** Parses a text with the digits of each number that a double cannot hold in its place, and says where. */
const withDigits = (text: string): StoredValue => {
  const inexact: Array<Path> = []
  const visit = (part: unknown, path: Path): unknown => {
    if (part instanceof Digits) {
      inexact.push(path)
      return part.text
    }
    if (Array.isArray(part)) return part.map((item, i) => visit(item, [...path, String(i)]))
    if (typeof part !== "object" || part === null) return part
    return Object.fromEntries(Object.entries(part).map(([name, item]) => [name, visit(item, [...path, name])]))
  }
  const value = visit(JSON.parse(text, kept as Parameters<typeof JSON.parse>[1]), [])
  return inexact.length === 0 ? { value } : { value, inexact }
}

const tooPrecise = "it holds a number that a double cannot hold"

/** Whether a double says the same number: its shortest text has the same digits. */
const isExact = (token: string): boolean => {
  const number = Number(token)
  const shortest = String(number)
  return token === shortest || (Number.isFinite(number) && digitsOf(token) === digitsOf(shortest))
}

/** A number by its significant digits and their place, however it is written. */
const digitsOf = (token: string): string => {
  const [mantissa = "", exponent = "0"] = token.toLowerCase().replace(/^-/, "").split("e")
  const [whole = "", fraction = ""] = mantissa.split(".")
  const digits = `${whole}${fraction}`.replace(/^0+/, "")
  // Not by an expression: it would look at each run of zeros from each of its zeros, which takes half a minute for 1
  // MiB.
  let end = digits.length
  while (digits[end - 1] === "0") end--
  const significant = digits.slice(0, end)
  return significant === ""
    ? "0"
    : `${significant}e${Number(exponent) - fraction.length + digits.length - significant.length}`
}

/** Decodes the value of a row with the schema of its key. */
export const decode = (key: Decoder, row: StoredValue): Result.Result<unknown, string> => {
  if (row.problem !== undefined) return Result.fail(row.problem)
  const { inexact } = row
  try {
    const decoded = key.decode(row.value)
    if (inexact === undefined) return decoded
    const keepsAll = Result.isSuccess(decoded) && inexact.every((path) => keepsDigits(at(decoded.success, path)))
    return keepsAll ? decoded : Result.fail(tooPrecise)
  } catch {
    return Result.fail("its schema threw")
  }
}

const keepsDigits = (value: unknown): boolean => typeof value === "bigint" || BigDecimal.isBigDecimal(value)

const at = (value: unknown, path: Path): unknown => {
  let part: any = value
  for (const name of path) part = part?.[name]
  return part
}
