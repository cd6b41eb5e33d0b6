import { Socket } from 'node:net'
import type { FastifyReply, FastifyRequest } from 'fastify'

/** How long a client may take to notice that nobody wants its body. */
const LINGER_MS = 1000

/**
 * Closes the connection after the answer although the body was not read. A close that leaves bytes
 * unread is a reset, which takes the answer away from a client that still sends: what comes is
 * thrown away until the client has ended, for a while at most.
 */
export function closeUnread(request: FastifyRequest, reply: FastifyReply): void {
  reply.header('connection', 'close')
  const { raw } = request
  const { socket } = raw
  // An injected request has none.
  if (!(socket instanceof Socket)) return
  // Node calls it when the answer is out.
  socket.destroySoon = () => {
    socket.end()
    raw.removeAllListeners('data')
    raw.once('end', () => socket.destroy()).resume()
    const timer = setTimeout(() => socket.destroy(), LINGER_MS)
    socket.once('close', () => clearTimeout(timer))
  }
}
