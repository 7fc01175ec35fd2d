// Loaded before an endpoint that would listen on all addresses: whatever it asks for, it gets loopback only.
'use strict'

const net = require('net')

const listen = net.Server.prototype.listen

net.Server.prototype.listen = function (...args) {
  if (typeof args[0] === 'object' && args[0] !== null && 'port' in args[0]) {
    args[0] = { ...args[0], host: '127.0.0.1' }
  } else if (typeof args[0] === 'number' || /^\d+$/.test(args[0])) {
    const callback = args.find((arg) => typeof arg === 'function')
    args = [{ port: Number(args[0]), host: '127.0.0.1' }, ...(callback ? [callback] : [])]
  } else {
    throw new Error(`loopback.js does not understand listen(${args[0]})`)
  }
  return listen.apply(this, args)
}
