// SPDX-License-Identifier: GPL-2.0
/* server_beast PORT: echo with Boost.Beast, as in its own examples, in one thread. */
#include <boost/asio.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/websocket.hpp>
#include <cstdlib>
#include <memory>

#include "busy.h"

namespace beast = boost::beast;
namespace websocket = beast::websocket;
using tcp = boost::asio::ip::tcp;

class session : public std::enable_shared_from_this<session> {
	websocket::stream<tcp::socket> ws;
	beast::flat_buffer buffer;

public:
	explicit session(tcp::socket &&socket) : ws(std::move(socket))
	{
		ws.next_layer().set_option(tcp::no_delay(true));
		ws.auto_fragment(false);
	}

	void run()
	{
		ws.async_accept([self = shared_from_this()](beast::error_code ec) {
			if (!ec)
				self->read();
		});
	}

	void read()
	{
		ws.async_read(buffer, [self = shared_from_this()](beast::error_code ec, std::size_t) {
			if (ec)
				return;
			busy();
			self->write();
		});
	}

	void write()
	{
		ws.binary(ws.got_binary());
		ws.async_write(buffer.data(), [self = shared_from_this()](beast::error_code ec, std::size_t n) {
			if (ec)
				return;
			self->buffer.consume(n);
			self->read();
		});
	}
};

static void listen(tcp::acceptor &acceptor)
{
	acceptor.async_accept([&acceptor](beast::error_code ec, tcp::socket socket) {
		if (!ec)
			std::make_shared<session>(std::move(socket))->run();
		listen(acceptor);
	});
}

int main(int argc, char **argv)
{
	boost::asio::io_context context(1);
	tcp::endpoint at(boost::asio::ip::address_v4::loopback(), std::atoi(argv[argc - 1]));
	tcp::acceptor acceptor(context, at);

	acceptor.listen(1024);
	listen(acceptor);
	context.run();
}
