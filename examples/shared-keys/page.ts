/** What the admin page in the browser does with the service's keys: it checks an input before it sends it. */
import { Result, Schema } from "effect"
import { RequestsPerMinute } from "./keys.ts"

const decode = Schema.decodeUnknownResult(RequestsPerMinute.schema)

/** What is wrong with the text of an input field; `undefined` if nothing is. */
export const problemOf = (input: string): string | undefined => {
  const number = Number(input)
  const decoded = decode(Number.isNaN(number) ? input : number)
  return Result.isFailure(decoded) ? decoded.failure.message : undefined
}
