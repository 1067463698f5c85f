"""What recommendations stand on in more than one service: a shopper's history."""
