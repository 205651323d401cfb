module minitron-chat

go 1.27
