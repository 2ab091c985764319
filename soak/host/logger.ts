/** Hears every log line of a host: none may hold a value, and none may speak of a defect. */
import { Effect, Logger } from "effect"
import { badMark } from "../marks.ts"
import * as Recorder from "./Recorder.ts"

export const layer = (host: string, recorder: Recorder.Recorder) => Logger.layer([listening(host, recorder)])

const listening = (host: string, recorder: Recorder.Recorder) =>
  Logger.map(Logger.formatLogFmt, (line) => {
    const report = (check: string) => Effect.runSync(Recorder.broken(recorder, host, check, line))
    if (line.includes(badMark)) report("brokeBadRows")
    if (line.includes("unexpectedly")) report("brokeCalm")
  })
