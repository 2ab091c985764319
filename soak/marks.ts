/** Part of every value that does not decode: it must show up nowhere. */
export const badMark = "unfit4711"
