// SPDX-License-Identifier: GPL-2.0 OR MIT

// A server for many clients in Go, with nothing but Go's own packages: sends back what it gets. A goroutine for each client; Go's
// poller waits for them all. go build go-server.go
package main

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"time"
	"unsafe"
)

const (
	tcpULP       = 31 // linux/tcp.h
	solWebsocket = 0x5753
	config       = 1 // linux/websocket.h
	opcodeRecord = 17
	opClose      = 8
	guid         = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" // RFC 6455
)

// connection is a message socket.
type connection struct {
	raw      syscall.RawConn
	received []byte // room for the record of a message
	sending  []byte // the record with its opcode
}

// upgrade answers the request. It reads up to the head's last byte and no further: what follows is the kernel's.
func upgrade(c *net.TCPConn) (*connection, error) {
	head, one := []byte{}, []byte{0}
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		if _, err := c.Read(one); err != nil || len(head) > 16384 {
			return nil, fmt.Errorf("no request: %v", err)
		}
		head = append(head, one...)
	}
	request, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		return nil, err
	}
	sum := sha1.Sum([]byte(request.Header.Get("Sec-WebSocket-Key") + guid))
	fmt.Fprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\n\r\n", base64.StdEncoding.EncodeToString(sum[:]))
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptString(int(fd), syscall.IPPROTO_TCP, tcpULP, "websocket")
		if err == nil { // struct websocket_config: the defaults
			err = syscall.SetsockoptString(int(fd), solWebsocket, config, string(make([]byte, 24)))
		}
	})
	w := &connection{raw, make([]byte, syscall.CmsgSpace(16)), make([]byte, syscall.CmsgSpace(1))}
	h := (*syscall.Cmsghdr)(unsafe.Pointer(&w.sending[0]))
	h.Level, h.Type = solWebsocket, opcodeRecord
	h.SetLen(syscall.CmsgLen(1))
	return w, err
}

// receive returns a message or a part of one, its opcode, and whether the message goes on.
func (w *connection) receive(buf []byte) (n int, opcode byte, more bool, err error) {
	flags := 0
	wait := w.raw.Read(func(fd uintptr) bool {
		n, _, flags, _, err = syscall.Recvmsg(int(fd), buf, w.received, 0)
		return err != syscall.EAGAIN
	})
	if wait != nil {
		err = wait
	}
	return n, w.received[syscall.CmsgLen(0)], flags&syscall.MSG_EOR == 0, err
}

func (w *connection) send(data []byte, opcode byte, more bool) error {
	record, flags := w.sending, syscall.MSG_NOSIGNAL
	record[syscall.CmsgLen(0)] = opcode
	if more {
		flags |= syscall.MSG_MORE
	}
	for {
		var n int
		var err error
		wait := w.raw.Write(func(fd uintptr) bool {
			n, err = sendmsg(int(fd), data, record, flags)
			return err != syscall.EAGAIN
		})
		if wait != nil || err != nil {
			return fmt.Errorf("%v %v", wait, err)
		}
		if n == len(data) {
			return nil
		}
		data, record = data[n:], nil // the message is still open
	}
}

// sendmsg is syscall.SendmsgN, which would send a byte that nobody asked for with the record of an empty message.
func sendmsg(fd int, data, record []byte, flags int) (int, error) {
	var iov syscall.Iovec
	var msg syscall.Msghdr
	if len(data) > 0 {
		iov.Base = &data[0]
		iov.SetLen(len(data))
		msg.Iov, msg.Iovlen = &iov, 1
	}
	if len(record) > 0 {
		msg.Control = &record[0]
		msg.SetControllen(len(record))
	}
	n, _, errno := syscall.Syscall(syscall.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&msg)), uintptr(flags))
	if errno != 0 {
		return 0, errno
	}
	return int(n), nil
}

func serve(c *net.TCPConn) error {
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	w, err := upgrade(c)
	if err != nil {
		return err
	}
	c.SetDeadline(time.Time{})
	buf := make([]byte, 65536)
	for {
		n, opcode, more, err := w.receive(buf)
		if err != nil || opcode == opClose {
			return err
		}
		if err = w.send(buf[:n], opcode, more); err != nil {
			return err
		}
	}
}

func main() {
	port := "8080"
	if len(os.Args) > 1 {
		port = os.Args[1]
	}
	listener, err := net.Listen("tcp", ":"+port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for {
		c, err := listener.Accept()
		if err != nil { // no more descriptors, say
			time.Sleep(100 * time.Millisecond)
			continue
		}
		go func() {
			if err := serve(c.(*net.TCPConn)); err != nil && err != io.EOF {
				fmt.Fprintln(os.Stderr, "ended:", err)
			}
		}()
	}
}
