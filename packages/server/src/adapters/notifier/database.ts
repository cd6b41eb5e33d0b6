import type { DbHandle } from '../../db/client.ts'
import type { Listener, Message, Notifier } from '../../ports/notifier.ts'

/** LISTEN on a connection of its own; embedded, in the process. */
export async function openNotifier({ listen }: Pick<DbHandle, 'listen'>): Promise<Notifier> {
  const listeners = createListeners()
  const unlisten = await listen({
    onNotification(message) {
      if (message.topic === 'queue') return listeners.tell('queue', message)
      listeners.tell('generations', message)
      listeners.tell(message.id, message)
    },
    onGap: () => listeners.tellAll({ topic: 'gap' }),
  })
  return {
    subscribe: listeners.add,
    follow: listeners.add,
    close: unlisten,
  }
}

/** By what they listen to: thousands may wait, each for one generation. */
function createListeners() {
  const all = new Map<string, Set<Listener>>()
  const tell = (to: string, message: Message) => {
    for (const listener of all.get(to) ?? []) listener(message)
  }
  return {
    tell,
    tellAll: (message: Message) => {
      for (const to of all.keys()) tell(to, message)
    },
    add(to: string, listener: Listener) {
      const those = all.get(to) ?? new Set()
      all.set(to, those.add(listener))
      return () => {
        those.delete(listener)
        if (those.size === 0 && all.get(to) === those) all.delete(to)
      }
    },
  }
}
