import { lookup, type Resolver } from 'node:dns/promises'

/** Every address of a host name; rejects where that cannot be said for certain. */
export type Resolve = (hostname: string) => Promise<readonly string[]>

/** Asks the name servers themselves: a local table of hosts has no say. */
export const resolveBy =
  (resolver: Resolver): Resolve =>
  async (hostname) => {
    const answers = await Promise.all([
      resolver.resolve4(hostname).catch(noneIfAbsent),
      resolver.resolve6(hostname).catch(noneIfAbsent),
    ])
    return answers.flat()
  }

/** As every other program on this machine finds hosts, `localhost` among them. */
export const resolveLocally: Resolve = async (hostname) =>
  (await lookup(hostname, { all: true })).map(({ address }) => address)

/** A name may have addresses of one family alone; that a query failed says nothing about its answer. */
function noneIfAbsent(error: NodeJS.ErrnoException): string[] {
  if (error.code === 'ENODATA' || error.code === 'ENOTFOUND') return []
  throw error
}
