// An ingest that answers as the test says.
import { createServer } from 'node:http'
import { gunzipSync } from 'node:zlib'

/** answer(n, request): {status, headers, body, delay} | 'cut' | 'silence', for the n-th request from 0. */
export async function serve(answer = () => ({})) {
  const requests = []
  const sockets = new Set()
  const server = createServer((request, response) => {
    const chunks = []
    request.on('data', chunk => chunks.push(chunk))
    request.on('end', async () => {
      const raw = Buffer.concat(chunks)
      const { method, url, headers, socket } = request
      const text = headers['content-encoding'] === 'gzip' ? gunzipSync(raw).toString() : raw.toString()
      const got = { method, url, headers, socket, text, batch: JSON.parse(text).batch }
      requests.push(got)
      const reply = await answer(requests.length - 1, got)
      if (reply === 'silence') return
      if (reply === 'cut') return socket.destroy()
      response.writeHead(reply.status ?? 200, reply.headers).end(reply.body ?? '{"success":true}')
    })
  })
  server.on('connection', socket => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
  })
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
  return {
    requests,
    endpoint: `http://127.0.0.1:${server.address().port}`,
    events: () => requests.flatMap(r => r.batch),
    close() {
      for (const socket of sockets) socket.destroy()
      return new Promise(resolve => server.close(resolve))
    },
  }
}
