import { changeHistoryContract } from "./changeHistoryContract.ts"
import { inMemory } from "./inMemory.ts"
import { onPostgres } from "./onPostgres.ts"

changeHistoryContract(inMemory)
changeHistoryContract(onPostgres)
