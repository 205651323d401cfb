module minitron

go 1.27
