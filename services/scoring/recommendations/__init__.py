"""What a shopper sees next: candidates from the model, put in order by the shop's rules, explored, explained."""
