/** Passwords of fewer characters are refused for their length anyway. */
const MIN_CODE_POINTS = 8
const LIST_LENGTH = 10_000

let list: Promise<ReadonlySet<string>> | undefined

/** Whether it is one of the 10 000 most common passwords of 8 characters or more. */
export async function isCommonPassword(password: string): Promise<boolean> {
  list ??= loadList()
  return (await list).has(password.toLowerCase())
}

// Loaded with the first registration: it costs 20 ms and 5 MB, which no other command needs.
async function loadList(): Promise<ReadonlySet<string>> {
  const { dictionary } = await import('@zxcvbn-ts/language-common')
  const byRank = dictionary['passwords-common']
  const long = byRank.filter((password) => password.length >= MIN_CODE_POINTS)
  return new Set(long.slice(0, LIST_LENGTH))
}
